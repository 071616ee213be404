"""How many requests may be sent a second time, as a share of all."""

from __future__ import annotations

from dataclasses import dataclass, replace

MOST = 10.0
"""Retries that a time with few failures leaves for the next one."""


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Each request adds its `share` of a retry to what is `left`."""

    share: float
    left: float = MOST

    def earned(self) -> RetryBudget:
        """After a request."""
        return replace(self, left=min(MOST, self.left + self.share))

    def spent(self) -> RetryBudget | None:
        """After a retry; None if there may be none."""
        return replace(self, left=self.left - 1.0) if self.share and self.left >= 1.0 else None
