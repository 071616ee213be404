"""From the server's environ to messages and back: gates, the cache's own pages, the engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pyproxycache.engine import Engine
from pyproxycache.errors import (
    BadRequest,
    Fault,
    MethodNotAllowed,
    NotFound,
    NotImplementedHere,
    ProxyError,
)
from pyproxycache.front.heads import status_line
from pyproxycache.front.kisscache import KissCache
from pyproxycache.front.max_forwards import counted_down
from pyproxycache.front.relay import Tunnel
from pyproxycache.front.target import locate
from pyproxycache.front.upgrade import wanted_protocols
from pyproxycache.gates.access import Access
from pyproxycache.messages import (
    Headers,
    Piece,
    Request,
    Response,
    Url,
    without_query,
)
from pyproxycache.outcome import Outcome, Result
from pyproxycache.rules.grammar import split_list
from pyproxycache.serving import answer
from pyproxycache.serving.status_fields import cache_status

log = logging.getLogger("pyproxycache")

Report = Callable[[Outcome], None]
PassUpgrade = Callable[[Request, str, Outcome], Response]
"""The answer to a request for other protocols; raises ProxyError."""

_BODY_STEP = 256 << 10
_HELP = """this is a caching proxy. Ways to ask it:
  http_proxy=http://{host} in the environment of a client
  http://{host}/https://HOST/PATH
  http://{host}/api/v1/fetch/?url=URL"""


class Input(Protocol):
    """A request's body; a read raises BadRequest where it broke off."""

    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Options:
    """The cache's name in Via and Cache-Status, and the one origin of a reverse proxy.

    `tells_key`: whether Cache-Status has the cache key.
    """

    name: str
    upstream: Url | None = None
    tells_key: bool = True


class App:
    """The WSGI application; `report` gets exactly one Outcome for each request.

    `pass_upgrade` is for requests that ask for another protocol, which are answered in HTTP without it.
    `warm_up` readies a thread for its first request. `reopen_logs` is for files that were renamed,
    `finish_logs` for an end without delay. `close` ends the worker's parts: it lets running downloads
    finish for so many seconds.
    """

    def __init__(
        self,
        options: Options,
        access: Access,
        engine: Engine,
        kisscache: KissCache,
        pass_upgrade: PassUpgrade | None,
        report: Report,
        warm_up: Callable[[], None],
        reopen_logs: Callable[[], None],
        finish_logs: Callable[[], None],
        close: Callable[[float], None],
    ) -> None:
        self.warm_up = warm_up
        self.reopen_logs = reopen_logs
        self.finish_logs = finish_logs
        self.close = close
        self.name = options.name
        self._options = options
        self._access = access
        self._engine = engine
        self._kisscache = kisscache
        self._pass_upgrade = pass_upgrade
        self._report = report

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Body:
        outcome = _begun(environ)
        try:
            response, is_of_cache = self._admitted(environ, outcome)
        except BaseException:
            outcome.status = 500
            _report(outcome, self._report)
            raise
        outcome.status = response.head.status
        name, tells_key = self.name, self._options.tells_key
        said = cache_status(outcome, name, with_key=tells_key) if is_of_cache else ""
        response = answer.signed(response, name, said, time.time())
        outcome.content_type = response.head.headers.get("content-type") or ""
        fields = list(_framed(outcome.method, response))
        if outcome.result is Result.REFUSED and outcome.status == 400:
            # What was misunderstood once can be so again: the next request comes on another connection.
            fields.append(("Connection", "close"))
        start_response(status_line(response.head), fields)
        return Body(response, outcome, self._report)

    def refused(self, client: str, status: int, head_bytes: int, body_bytes: int) -> None:
        """Report what was no HTTP, and was answered so."""
        outcome = Outcome(Result.REFUSED, status=status, client=client, content_type="text/plain")
        outcome.started, outcome.head_bytes, outcome.bytes_sent = time.time(), head_bytes, body_bytes
        _report(outcome, self._report)

    def _admitted(self, environ: dict[str, Any], outcome: Outcome) -> tuple[Response, bool]:
        """The answer, and whether it is one of the cache."""
        try:
            self._access.check(outcome.client)
            return self._answer(environ, outcome)
        except ProxyError as error:
            outcome.result = Result.REFUSED if error.fault is Fault.CLIENT else Result.FAILED
            refusal = answer.from_error(error)
            if isinstance(error, MethodNotAllowed):
                headers = refusal.head.headers.with_field("Allow", "GET, HEAD")
                refusal = replace(refusal, head=replace(refusal.head, headers=headers))
            return refusal, False

    def _answer(self, environ: dict[str, Any], outcome: Outcome) -> tuple[Response, bool]:
        host = Headers(environ["pyproxycache.headers"]).get("host")
        if host is None and _version(environ) >= (1, 1):
            raise BadRequest("a request in HTTP/1.1 needs a Host field")
        if outcome.method == "CONNECT":
            raise NotImplementedHere(
                "CONNECT: this proxy does not tunnel; it fetches https resources as "
                "http://CACHE/https://HOST/PATH"
            )
        wanted = locate(environ["RAW_URI"], self._options.upstream, outcome.method)
        if isinstance(wanted, Url):
            outcome.url = wanted
            return self._forwarded(_request(environ, wanted), outcome)
        outcome.key = wanted.path
        if not self._kisscache.answers(wanted):
            raise NotFound(f"{wanted.path}: {_HELP.format(host=host or 'CACHE')}")
        local = self._kisscache.wanted(outcome.method, wanted, lambda url: _request(environ, url))
        if isinstance(local, Response):
            outcome.result = Result.LOCAL
            return local, False
        outcome.url = local.url
        return self._kisscache.named(wanted, self._engine.handle(local, outcome)), True

    def _forwarded(self, request: Request, outcome: Outcome) -> tuple[Response, bool]:
        counted = counted_down(request)
        if isinstance(counted, Response):
            outcome.key, outcome.result = str(request.url), Result.LOCAL
            return counted, False
        if self._pass_upgrade is not None and (protocols := wanted_protocols(counted)):
            return self._pass_upgrade(counted, protocols, outcome), False
        return self._engine.handle(counted, outcome), True


class Body:
    """The pieces of an answer; closing it is the end of the request.

    Behind the head of an answer with a `tunnel`, the connection is the tunnel's.
    """

    def __init__(self, response: Response, outcome: Outcome, report: Report) -> None:
        self.tunnel = response.body if isinstance(response.body, Tunnel) else None
        self._body = response.body
        self._outcome = outcome
        self._report = report

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._body)

    def sent(self, head_bytes: int, body_bytes: int) -> None:
        """How much of the answer the client was sent."""
        self._outcome.head_bytes, self._outcome.bytes_sent = head_bytes, body_bytes

    def aborted(self) -> None:
        """It did not get to its end, for the client went away."""
        self._outcome.aborted = True

    def failed(self, error: ProxyError) -> None:
        """It ended short, and the client was told so by breaking the connection."""
        log.info("broke off %s: %s", without_query(self._outcome.key), error)
        self._outcome.result = Result.FAILED
        self._outcome.aborted = True

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        _report(self._outcome, self._report)


def _begun(environ: dict[str, Any]) -> Outcome:
    """What is known of a request before anything is done with it."""
    fields = dict(environ["pyproxycache.headers"])
    return Outcome(
        started=time.time(),
        client=environ["REMOTE_ADDR"],
        method=environ["REQUEST_METHOD"],
        target=environ["RAW_URI"],
        version=environ["SERVER_PROTOCOL"],
        referer=fields.get("Referer", ""),
        user_agent=fields.get("User-Agent", ""),
    )


def _report(outcome: Outcome, report: Report) -> None:
    outcome.seconds = time.time() - outcome.started
    report(outcome)


def _request(environ: dict[str, Any], url: Url) -> Request:
    headers = Headers(environ["pyproxycache.headers"])
    coding = headers.get("transfer-encoding")
    if coding is not None and coding.lower() != "chunked":
        # What is coded twice would go on with one coding taken off and none announced.
        raise NotImplementedHere(f"Transfer-Encoding {coding}: only chunked is understood")
    has_body = coding is not None or (headers.get("content-length") or "0") != "0"
    return Request(
        method=environ["REQUEST_METHOD"],
        url=url,
        headers=headers,
        client=environ["REMOTE_ADDR"],
        version=_version(environ),
        body=_pieces(environ["wsgi.input"]) if has_body else None,
        interim=environ["pyproxycache.interim"],
    )


def _version(environ: dict[str, Any]) -> tuple[int, int]:
    major, minor = environ["SERVER_PROTOCOL"].removeprefix("HTTP/").split(".")
    return int(major), int(minor)


def _pieces(body: Input) -> Iterator[bytes]:
    while data := body.read(_BODY_STEP):
        yield data


def _framed(method: str, response: Response) -> Headers:
    """The fields with no other Content-Length than that of the body (RFC 9112 section 6.3)."""
    headers = response.head.headers
    if method == "HEAD" or response.head.status == 304:
        lengths = set(split_list(headers.get("content-length") or ""))
        value = lengths.pop() if len(lengths) == 1 else ""
    else:
        value = "" if response.length is None or response.head.status == 204 else str(response.length)
    if not (value.isascii() and value.isdigit()):
        return headers.without("Content-Length")
    if headers.lines("content-length") == (value,):
        return headers
    return headers.with_field("Content-Length", value)
