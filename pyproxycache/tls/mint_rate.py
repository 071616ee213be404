"""How many leaves may be minted for one client in a time: token buckets (RFC 2697's way). Pure."""

from __future__ import annotations

from collections import OrderedDict

_MOST_CLIENTS = 10_000


class MintRate:
    """A bucket for each client: `burst` mints at once, and `rate` a second after that.

    Who has minted nothing for longest is forgotten if there are too many clients. One thread uses it.
    """

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        # How many tokens the client had left, and when (seconds of any clock); the last one is last.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> bool:
        """Take a token of the client's, if it has one; a clock that is set back takes none away."""
        left, since = self._left.get(client, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - since) * self._rate)
        is_there = left >= 1
        self._left[client] = (left - is_there, now)
        self._left.move_to_end(client)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return is_there
