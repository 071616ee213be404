"""KissCache's HTTP interface, for lab schedulers that are configured for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, quote, unquote

from pyproxycache import __version__, clock
from pyproxycache.body import BytesBody
from pyproxycache.errors import BadRequest, MethodNotAllowed
from pyproxycache.facts import Attempted, Came, Facts, Located, ServedAs
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.onward.redirects import followed
from pyproxycache.front.presentation import cookies
from pyproxycache.front.presentation.references import as_it_is, mapped, through_kisscache
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Local, Wanted, quoted_url
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.options import KissCacheOptions
from pyproxycache.outcome import Result
from pyproxycache.report.figures import Figures
from pyproxycache.response import Response
from pyproxycache.rules.userinfo import without_userinfo
from pyproxycache.serving.responses import from_text
from pyproxycache.steps import Steps
from pyproxycache.units import parse_age

_TTL = re.compile(r"[0-9]{1,9}[dhms]")
_DEFAULT_TTL = "10d"
_FETCH = "/api/v1/fetch/"
HEALTH = "/api/v1/health/"
"""The path of the page that tells load balancers whether to ask this cache."""

PATHS = re.compile(r"/api/v1/(?:health/|status/|fetch(?:/.*)?)", re.DOTALL)
"""The paths of this interface."""


class KissCache:
    """Answers paths below /api/v1/; fetches go to the engine as ordinary requests with a ttl."""

    def __init__(
        self, options: KissCacheOptions, figures: Callable[[], Figures], cached: CachedAnswers
    ) -> None:
        self._options = options
        self._figures = figures
        self._cached = cached

    def answer(self, received: RawRequest, target: Local, facts: Facts) -> Steps[Answered]:
        """Answer a fetch by the engine, or give the health or status page."""
        facts.note(Came("kisscache"), Attempted(without_userinfo(target.path)))
        asked = self.wanted(
            received.method, target, lambda wanted: self._cached.request_for(received, wanted, as_it_is)
        )
        if isinstance(asked, Response):
            facts.note(ServedAs(Result.LOCAL))
            return Answered(asked, is_of_cache=False)
        facts.note(Located(asked.url))
        request, response = yield from followed(asked, facts, self._cached.handle)
        return self._cached.answered(received, response, self.present(target, request))

    def wanted(self, method: str, local: Local, request: Callable[[Wanted], Request]) -> Request | Response:
        """The request that a fetch asks for, or a page's answer; raises BadRequest or MethodNotAllowed."""
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(
                f"{method}: {local.path} takes GET and HEAD", headers=(("Allow", "GET, HEAD"),)
            )
        if local.path == HEALTH:
            return self._health()
        if local.path == "/api/v1/status/":
            return self._status()
        return self._fetch(local, request)

    def present(self, local: Local, request: Request) -> Present:
        """What makes the answer's head for the client: with a file name, for the client to save it under.

        The name is that in the path, else the origin's own, else the last part of the URL's path. It is for
        `curl -OJ` and `wget --content-disposition`. References in the head lead through this interface,
        too.
        """
        address = through_kisscache(f"{_FETCH}?ttl={int(request.ttl or 0)}s&url=")
        asked = unquote(local.path[len(_FETCH) :])
        name = asked or unquote(request.url.path).rpartition("/")[2]

        def shown(head: Head) -> Head:
            head = mapped(head, request.url, address, cookies.none)
            if not name or head.status not in (200, 206):
                return head
            if not asked and "Content-Disposition" in head.headers:
                return head
            disposition = f"attachment; filename={_filename(name)}"
            return Head(
                head.status, head.reason, head.headers.with_field("Content-Disposition", disposition)
            )

        return shown

    def _fetch(self, local: Local, request: Callable[[Wanted], Request]) -> Request:
        # Latin-1 has one character for each byte, so that bytes that are no UTF-8 survive.
        query = parse_qs(local.query, keep_blank_values=True, encoding="latin-1")
        urls, ttls = query.get("url", []), query.get("ttl", [_DEFAULT_TTL])
        if len(urls) != 1 or not urls[0]:
            raise BadRequest(f"{_FETCH} needs one url=URL")
        if not _TTL.fullmatch(ttls[-1]):
            raise BadRequest(f"ttl={ttls[-1]}: a number with d, h, m or s behind it is accepted, as in 10d")
        asked = request(quoted_url(urls[0]))
        # This interface's clients expect no interim heads.
        return replace(asked, ttl=min(parse_age(ttls[-1]), self._options.max_ttl), interim=None)

    def _health(self) -> Response:
        stopping = self._options.shutdown_file
        if stopping is not None and stopping.exists():
            return from_text(503, "shutting down")
        return _body(b"ok", "text/plain; charset=utf-8")

    def _status(self) -> Response:
        figures = self._figures()
        counters = figures.counters
        quota = figures.limit or 0
        failures = counters.get("requests.failed", 0)
        status = {
            "timestamp": int(clock.wall()),
            "disk_usage": figures.used,
            "disk_usage_percent": round(100 * figures.used / quota, 2) if quota else 0,
            "disk_quota": quota,
            "instance": self._options.instance,
            "resources_scheduled": 0,
            "resources_downloading": figures.downloading,
            "resources_successes": figures.entries,
            "resources_failures": 0,
            "resources_usage": counters.get("requests.hit", 0),
            "statistics_successes": counters.get("requests", 0) - failures,
            "statistics_failures": failures,
            "statistics_download": counters.get("bytes.received", 0),
            "statistics_upload": counters.get("bytes.sent", 0),
            "statistics_requests": counters.get("requests", 0),
            "version": __version__,
        }
        return _body(json.dumps(status).encode(), "application/json")


def _body(body: bytes, content_type: str) -> Response:
    fields = (("Content-Type", content_type), ("Content-Length", str(len(body))))
    return Response(Head(200, "OK", Headers(fields)), BytesBody(body), len(body))


def _filename(name: str) -> str:
    """The name as a token, or quoted where it is not one (RFC 6266)."""
    if re.fullmatch(r"[\w!#$&+.^`|~-]+", name, re.ASCII):
        return name
    plain = re.sub(r'[^ -~]|["\\]', "_", name)
    return f"\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
