"""CONNECT: tunnels to a host and port, whose bytes are not read (RFC 9110 section 9.3.6)."""

from __future__ import annotations

from pyproxycache.errors import BadRequest, Forbidden
from pyproxycache.facts import Attempted, Facts, Forwarded, OriginReplied, ServedAs
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Authority, Head, Response
from pyproxycache.options import ConnectOptions
from pyproxycache.outcome import Forward, Result
from pyproxycache.steps import Asks, Steps
from pyproxycache.upstream.client import Upstream


class Connect:
    """Answers CONNECT with tunnels to allowed ports."""

    def __init__(self, options: ConnectOptions, upstream: Upstream) -> None:
        self._options = options
        self._upstream = upstream

    def answer(self, received: RawRequest, target: Authority, facts: Facts) -> Steps[Answered]:
        """Answer with a Tunnel to the host and port that the client names."""
        facts.note(Attempted(str(target)), Forwarded(Forward.METHOD))
        _refuse_content(received)
        if target.port not in self._options.ports:
            raise Forbidden(
                f"CONNECT to port {target.port} is not allowed here: the cache's operator can add it to "
                "'connect.ports'"
            )
        yield Asks(str(target))
        far = self._upstream.tunnel(target, _via(received), received.client, facts)
        facts.note(OriginReplied(200), ServedAs(Result.TUNNELLED))
        tunnel = Tunnel(far, self._options.idle, facts)
        return Answered(Response(Head(200, "Connection established"), tunnel, None), is_of_cache=False)


def _refuse_content(received: RawRequest) -> None:
    """Raise BadRequest if a CONNECT announces content: others may take it for the tunnel's first bytes."""
    if received.field("transfer-encoding") or received.field("content-length") not in ("", "0"):
        raise BadRequest("CONNECT has no content: what is behind its head belongs to the tunnel")


def _via(received: RawRequest) -> str:
    """The value of Via for the next proxy, up to the version that this proxy's name follows."""
    major, minor = received.version
    return ", ".join((*received.headers.lines("via"), f"{major}.{minor}"))
