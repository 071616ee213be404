"""An answer out of a running download, which memory lets other clients join."""

from __future__ import annotations

import math
from collections.abc import Callable

from pyproxycache.front.answers.answer import Answer
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.response import ReuseTerms

_OVERHEAD = 1500


class Arriving:
    """An answer out of a running download, which other clients may join; times are as in Stored.

    `join` makes an answer for another client (its IP address), None if the download is over. `head` is the
    one for all who join, to be made anew at `renew_at`, when its Age changes. `size` is about how many
    bytes of memory it keeps in use.
    """

    __slots__ = (
        *("_born", "closes", "framing", "head", "join", "renew_at"),
        *("size", "slot", "since", "until", "version"),
    )

    def __init__(
        self,
        reuse_terms: ReuseTerms,
        framing: Framing,
        join: Callable[[str], Answer | None],
        *,
        closes: bool,
    ) -> None:
        self.slot, self.version = reuse_terms.slot, reuse_terms.version
        self.since, self.until = reuse_terms.since, reuse_terms.until
        self._born = reuse_terms.born
        self.closes = closes
        self.framing = framing
        self.join = join
        self.size = _OVERHEAD + 4 * reuse_terms.entry.head.size
        self.head = b""
        self.renew_at = 0.0

    def renew(self, head: bytes, now: float) -> None:
        """Take the head that was made now (epoch seconds)."""
        self.head = head
        self.renew_at = self._born + math.floor(now - self._born) + 1
