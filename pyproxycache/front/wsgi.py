"""From the server's environ to messages and back: gates, the cache's own pages, the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from pyproxycache import answer
from pyproxycache.engine import Engine
from pyproxycache.errors import NotFound, NotImplementedHere, ProxyError
from pyproxycache.front.kisscache import KissCache
from pyproxycache.front.target import locate
from pyproxycache.gates.access import Access
from pyproxycache.messages import FileSlice, Headers, Piece, Request, Response, Url
from pyproxycache.outcome import Outcome, Result

_BODY_STEP = 256 << 10
_HELP = """this is a caching proxy. Ways to ask it:
  http_proxy=http://{host} in the environment of a client
  http://{host}/https://HOST/PATH
  http://{host}/api/v1/fetch/?url=URL"""


class Input(Protocol):
    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Options:
    """The cache's name in Via and Cache-Status, and the one origin of a reverse proxy."""

    name: str
    upstream: Url | None = None


class App:
    """The WSGI application; `report` gets exactly one Outcome for each request.

    `close` ends the worker's parts: it lets running downloads finish for so many seconds.
    """

    def __init__(
        self,
        options: Options,
        access: Access,
        engine: Engine,
        kisscache: KissCache,
        report: Callable[[Outcome], None],
        close: Callable[[float], None],
    ) -> None:
        self.close = close
        self._options = options
        self._access = access
        self._engine = engine
        self._kisscache = kisscache
        self._report = report

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Body:
        client = environ["REMOTE_ADDR"]
        outcome = Outcome(started=time.time(), client=client, method=environ["REQUEST_METHOD"])
        try:
            self._access.check(client)
            response = self._answer(environ, outcome)
        except ProxyError as error:
            outcome.result = Result.REFUSED
            response = answer.from_error(error)
        except BaseException:
            self._report(outcome)
            raise
        outcome.status = response.head.status
        name = self._options.name
        response = answer.signed(response, name, outcome.cache_status(name), time.time())
        start_response(_status_line(response), list(response.head.headers))
        return Body(response, outcome, self._report)

    def _answer(self, environ: dict[str, Any], outcome: Outcome) -> Response:
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
            host = Headers(environ["pyproxycache.headers"]).get("host") or "CACHE"
            raise NotFound(f"{wanted.path}: {_HELP.format(host=host)}")
        local = self._kisscache.wanted(outcome.method, wanted, lambda url: _request(environ, url))
        if isinstance(local, Response):
            outcome.result = Result.HIT
            return local
        return self._kisscache.named(wanted, self._engine.handle(local, outcome))


class Body:
    """The pieces of an answer; closing it is the end of the request."""

    def __init__(self, response: Response, outcome: Outcome, report: Callable[[Outcome], None]) -> None:
        self._body = response.body
        self._outcome = outcome
        self._report = report

    def __iter__(self) -> Iterator[Piece]:
        for piece in self._body:
            yield piece
            self._outcome.bytes_sent += piece.count if isinstance(piece, FileSlice) else len(piece)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        self._outcome.seconds = time.time() - self._outcome.started
        self._report(self._outcome)


def _request(environ: dict[str, Any], url: Url) -> Request:
    headers = Headers(environ["pyproxycache.headers"])
    has_body = "transfer-encoding" in headers or (headers.get("content-length") or "0") != "0"
    major, minor = environ["SERVER_PROTOCOL"].removeprefix("HTTP/").split(".")
    return Request(
        method=environ["REQUEST_METHOD"],
        url=url,
        headers=headers,
        client=environ["REMOTE_ADDR"],
        version=(int(major), int(minor)),
        body=_chunks(environ["wsgi.input"]) if has_body else None,
    )


def _chunks(body: Input) -> Iterator[bytes]:
    while data := body.read(_BODY_STEP):
        yield data


def _status_line(response: Response) -> str:
    status, reason = response.head.status, response.head.reason
    if not reason:
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = "Unknown"
    return f"{status} {reason}"
