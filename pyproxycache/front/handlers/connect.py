"""CONNECT: tunnels to a host and port, whose bytes are not read (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from functools import partial

from pyproxycache import clock
from pyproxycache.errors import BadRequest, PortNotAllowed
from pyproxycache.facts import Attempted, Facts, Forwarded, OriginReplied, ServedAs
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.interception.interception import Interception
from pyproxycache.front.interception.interception_rules import PassOn
from pyproxycache.front.interception.pending_tunnel import PendingTunnel
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Head
from pyproxycache.options import ConnectOptions
from pyproxycache.outcome import Forward, Result
from pyproxycache.response import Response
from pyproxycache.steps import Asks, Steps
from pyproxycache.upstream.client import Upstream
from pyproxycache.url import Authority


class Connect:
    """Answers CONNECT with tunnels to allowed ports, or with what `interception` makes of them."""

    def __init__(
        self, options: ConnectOptions, upstream: Upstream, interception: Interception | None
    ) -> None:
        self._options = options
        self._upstream = upstream
        self._interception = interception

    def answer(self, received: RawRequest, target: Authority, facts: Facts) -> Steps[Answered]:
        """Answer with a Tunnel to the host and port that the client names."""
        facts.note(Attempted(str(target)), Forwarded(Forward.METHOD))
        _refuse_content(received)
        if target.port not in self._options.ports:
            raise PortNotAllowed(
                f"CONNECT to port {target.port} is not allowed here: the cache's operator can add it to "
                "'connect.ports'"
            )
        dial = partial(self._tunnel, received, target, facts)
        body: Tunnel | PendingTunnel
        passed = self._passed_on(target, received.client)
        if self._interception is not None and passed is None:
            body = PendingTunnel(target, received.ingress, dial, self._interception, facts)
        else:
            yield Asks(str(target))
            body = dial()
            facts.note(ServedAs(Result.TUNNELLED, detail="" if passed is None else passed.why))
        return Answered(Response(Head(200, "Connection established"), body, None), is_of_cache=False)

    def _passed_on(self, target: Authority, client: str) -> PassOn | None:
        """The decision not to intercept, if it can be made already."""
        interception = self._interception
        return None if interception is None else interception.rules.before(target, client, clock.steady())

    def _tunnel(self, received: RawRequest, target: Authority, facts: Facts) -> Tunnel:
        far = self._upstream.tunnel(target, _via(received), received.client, facts)
        facts.note(OriginReplied(200))
        return Tunnel(far, self._options.idle, facts)


def _refuse_content(received: RawRequest) -> None:
    """Raise BadRequest if a CONNECT announces content: others may take it for the tunnel's first bytes."""
    if received.field("transfer-encoding") or received.field("content-length") not in ("", "0"):
        raise BadRequest("CONNECT has no content: what is behind its head belongs to the tunnel")


def _via(received: RawRequest) -> str:
    """The value of Via for the next proxy, up to the version that this proxy's name follows."""
    major, minor = received.version
    return ", ".join((*received.headers.lines("via"), f"{major}.{minor}"))
