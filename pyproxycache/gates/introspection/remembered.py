"""What was found out of valid tokens, remembered for a short while, without the tokens."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.gates.introspection.token_findings import TokenFindings

_MOST_BYTES = 16 << 20
_OVERHEAD = 1 << 10


@dataclass(frozen=True, slots=True)
class _Remembered:
    findings: TokenFindings
    until: float
    size: int


class RememberedTokens:
    """Findings of the last `seconds`, by digests of tokens; safe to use from any number of threads.

    None counts past the end of its token. Of too many, those that were not asked for the longest go.
    """

    def __init__(self, seconds: float, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._seconds = seconds
        self._wall, self._steady = wall, steady
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._bytes = 0

    def add(self, digest: bytes, findings: TokenFindings, size: int) -> None:
        """Remember the findings, whose body takes about this many bytes."""
        with self._lock:
            self._drop(digest)
            self._kept[digest] = _Remembered(findings, self._steady() + self._seconds, size + _OVERHEAD)
            self._bytes += size + _OVERHEAD
            while self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._kept)))

    def find(self, digest: bytes) -> TokenFindings | None:
        """The findings that still count; None if there are none."""
        with self._lock:
            known = self._kept.get(digest)
            if known is None:
                return None
            ends = known.findings.ends
            if known.until <= self._steady() or (ends is not None and ends <= self._wall()):
                self._drop(digest)
                return None
            self._kept.move_to_end(digest)
            return known.findings

    def _drop(self, digest: bytes) -> None:
        known = self._kept.pop(digest, None)
        if known is not None:
            self._bytes -= known.size
