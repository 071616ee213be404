"""An answer's body that is a tunnel, or none, by what the client sends first."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.body import Body, Piece
from pyproxycache.facts import Facts, ServedAs
from pyproxycache.front.interception.interception import Interception
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.requests.ingress import Ingress
from pyproxycache.outcome import Result
from pyproxycache.url import Authority


class PendingTunnel(Body):
    """The body of the answer to a CONNECT whose connection may be intercepted.

    The tunnel leads to `end`, and is opened by open() alone; `ingress` is how the CONNECT has come in.
    """

    def __init__(
        self,
        end: Authority,
        ingress: Ingress,
        dial: Callable[[], Tunnel],
        interception: Interception,
        facts: Facts,
    ) -> None:
        self.end = end
        self.interception = interception
        self.ingress = ingress
        self._dial = dial
        self._facts = facts
        self._opened: Tunnel | None = None

    def __next__(self) -> Piece:
        raise StopIteration

    def open(self, why: str) -> Tunnel:
        """Connect the far end, as the connection is not intercepted for this reason; waits.

        Raises ProxyError.
        """
        self._opened = self._dial()
        self._facts.note(ServedAs(Result.TUNNELLED, detail=why))
        return self._opened

    def intercepted(self) -> None:
        """Note that the cache itself answers on the connection."""
        self._facts.note(ServedAs(Result.INTERCEPTED))

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
