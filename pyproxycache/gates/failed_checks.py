"""Which clients have sent wrong passwords so often that theirs are not checked for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

_MOST = 10
_FORGIVEN_AFTER = 6.0
"""Seconds after which a client may fail once more."""
_MOST_CLIENTS = 10_000


class FailedChecks:
    """Counts the failed checks of each client, and forgives one after the other.

    `now` gives monotonic seconds. Its owner's lock guards it.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # How many are not forgiven yet, as of when, by client; who failed last is the last one.
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def note(self, client: str) -> None:
        """Count one more; who has not failed for longest is forgotten if there are too many clients."""
        now = self._now()
        self._failed[client] = (self._unforgiven(client, now) + 1, now)
        self._failed.move_to_end(client)
        if len(self._failed) > _MOST_CLIENTS:
            self._failed.popitem(last=False)

    def seconds_left(self, client: str) -> float:
        """For how many seconds the client's passwords are not checked; 0 if they are."""
        return max(0.0, (self._unforgiven(client, self._now()) - _MOST + 1) * _FORGIVEN_AFTER)

    def _unforgiven(self, client: str, now: float) -> float:
        count, since = self._failed.get(client, (0.0, now))
        return max(0.0, count - (now - since) / _FORGIVEN_AFTER)
