"""From the server's environ to messages and back: gates, the cache's own pages, the engine."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol

from pyproxycache import answer
from pyproxycache.engine import Engine
from pyproxycache.errors import BadRequest, MethodNotAllowed, NotFound, NotImplementedHere, ProxyError
from pyproxycache.front.kisscache import KissCache
from pyproxycache.front.target import locate
from pyproxycache.gates.access import Access
from pyproxycache.messages import (
    FileSlice,
    Head,
    Headers,
    Piece,
    Request,
    Response,
    Url,
    without_query,
)
from pyproxycache.outcome import Outcome, Result
from pyproxycache.rules.grammar import split_list

log = logging.getLogger("pyproxycache")

Report = Callable[[Outcome], None]

_BODY_STEP = 256 << 10
_REASON = re.compile(r"[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff]")
_HELP = """this is a caching proxy. Ways to ask it:
  http_proxy=http://{host} in the environment of a client
  http://{host}/https://HOST/PATH
  http://{host}/api/v1/fetch/?url=URL"""


class Input(Protocol):
    """A request's body; a read raises BadRequest where it broke off."""

    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Options:
    """The cache's name in Via and Cache-Status, and the one origin of a reverse proxy."""

    name: str
    upstream: Url | None = None


class App:
    """The WSGI application; `report` gets exactly one Outcome for each request.

    `warm_up` readies a thread for its first request. `close` ends the worker's parts: it lets running
    downloads finish for so many seconds.
    """

    def __init__(
        self,
        options: Options,
        access: Access,
        engine: Engine,
        kisscache: KissCache,
        report: Report,
        warm_up: Callable[[], None],
        close: Callable[[float], None],
    ) -> None:
        self.warm_up = warm_up
        self.close = close
        self.name = options.name
        self._options = options
        self._access = access
        self._engine = engine
        self._kisscache = kisscache
        self._report = report

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Body:
        client = environ["REMOTE_ADDR"]
        outcome = Outcome(started=time.time(), client=client, method=environ["REQUEST_METHOD"])
        try:
            response = self._admitted(environ, outcome)
        except BaseException:
            outcome.status = 500
            _report(outcome, self._report)
            raise
        outcome.status = response.head.status
        name = self.name
        response = answer.signed(response, name, outcome.cache_status(name), time.time())
        fields = list(_framed(outcome.method, response))
        if outcome.result is Result.REFUSED and outcome.status == 400:
            # What was misunderstood once can be so again: the next request comes on another connection.
            fields.append(("Connection", "close"))
        start_response(_status_line(response.head), fields)
        return Body(response, outcome, self._report)

    def _admitted(self, environ: dict[str, Any], outcome: Outcome) -> Response:
        try:
            self._access.check(outcome.client)
            return self._answer(environ, outcome)
        except ProxyError as error:
            outcome.result = Result.REFUSED
            refusal = answer.from_error(error)
            if isinstance(error, MethodNotAllowed):
                headers = refusal.head.headers.with_field("Allow", "GET, HEAD")
                refusal = replace(refusal, head=replace(refusal.head, headers=headers))
            return refusal

    def _answer(self, environ: dict[str, Any], outcome: Outcome) -> Response:
        host = Headers(environ["pyproxycache.headers"]).get("host")
        if host is None and _version(environ) >= (1, 1):
            raise BadRequest("a request in HTTP/1.1 needs a Host field")
        if outcome.method == "CONNECT":
            raise NotImplementedHere(
                "CONNECT: this proxy does not tunnel; it fetches https resources as "
                "http://CACHE/https://HOST/PATH"
            )
        wanted = locate(environ["RAW_URI"], self._options.upstream)
        if isinstance(wanted, Url):
            return self._engine.handle(_request(environ, wanted), outcome)
        outcome.key = wanted.path
        if not self._kisscache.answers(wanted):
            raise NotFound(f"{wanted.path}: {_HELP.format(host=host or 'CACHE')}")
        local = self._kisscache.wanted(outcome.method, wanted, lambda url: _request(environ, url))
        if isinstance(local, Response):
            outcome.result = Result.LOCAL
            return local
        return self._kisscache.named(wanted, self._engine.handle(local, outcome))


class Body:
    """The pieces of an answer; closing it is the end of the request."""

    def __init__(self, response: Response, outcome: Outcome, report: Report) -> None:
        self._body = response.body
        self._outcome = outcome
        self._report = report

    def __iter__(self) -> Iterator[Piece]:
        for piece in self._body:
            yield piece
            self._outcome.bytes_sent += piece.count if isinstance(piece, FileSlice) else len(piece)

    def failed(self, error: ProxyError) -> None:
        """It ended short, and the client was told so by breaking the connection."""
        log.info("broke off %s: %s", without_query(self._outcome.key), error)
        self._outcome.result = Result.FAILED

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        _report(self._outcome, self._report)


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


def _status_line(head: Head) -> str:
    if _REASON.fullmatch(head.reason):
        return f"{head.status} {head.reason}"
    try:
        return f"{head.status} {HTTPStatus(head.status).phrase}"
    except ValueError:
        return f"{head.status} Unknown"
