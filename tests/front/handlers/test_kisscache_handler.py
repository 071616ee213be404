"""KissCache's interface without a server: what a path and a query mean."""

import json
from pathlib import Path
from typing import Any

import pytest

from pyproxycache.errors import BadRequest, MethodNotAllowed
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.kisscache import PATHS, KissCache
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.requests.target import Local, Wanted
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.options import ForwardedOptions, KissCacheOptions
from pyproxycache.report.figures import Figures
from pyproxycache.response import Response
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.urls import parse_url

COUNTERS = {
    "requests": 10,
    "requests.hit": 6,
    "requests.failed": 1,
    "bytes.received": 100,
    "bytes.sent": 900,
}
REALM = Realm(Policies())
FORWARDING = Forwarding(ForwardedOptions(), is_reverse=False)
ENGINE: Any = None  # nothing is fetched here
FETCH = "/api/v1/fetch/"


def kisscache(limit: int | None = 1000, **options: object) -> KissCache:
    figures = Figures(used=250, limit=limit, entries=4, downloading=2, counters=COUNTERS)
    return KissCache(KissCacheOptions(**options), lambda: figures, CachedAnswers(REALM, FORWARDING, ENGINE))


def wanted(query: str, path: str = FETCH, method: str = "GET") -> Request | Response:
    return kisscache().wanted(method, Local(path, query), lambda wanted: Request(method, wanted.url))


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        (FETCH, True),
        (f"{FETCH}name", True),
        ("/api/v1/health/", True),
        ("/api/v1/status/", True),
        ("/api/v1/", False),
        ("/api/v1/health", False),
        ("/api/v2/fetch/", False),
        ("/", False),
    ],
)
def test_paths(path: str, ours: bool) -> None:
    assert bool(PATHS.fullmatch(path)) is ours


@pytest.mark.parametrize(
    ("query", "url", "ttl"),
    [
        ("url=http://h/p", "http://h/p", 864000.0),
        ("url=https%3A%2F%2Fh%2Fp%3Fa%3D1%26b&ttl=5m", "https://h/p?a=1&b", 300.0),
        ("ttl=1h&url=http://h/p", "http://h/p", 3600.0),
        ("url=http://h/p&ttl=1d&ttl=2s", "http://h/p", 2.0),
        ("url=http://h/a%2Bb", "http://h/a+b", 864000.0),
        ("url=http://h/a%2520b", "http://h/a%20b", 864000.0),
        ("url=http://h/a+b", "http://h/a%20b", 864000.0),
        ("url=http://h/%C3%A9%FF", "http://h/%C3%A9%FF", 864000.0),
        ("url=http://h/p&other=1", "http://h/p", 864000.0),
        ("url=http://h/p&ttl=0d", "http://h/p", 0.0),
    ],
)
def test_fetch(query: str, url: str, ttl: float) -> None:
    request = wanted(query)
    assert isinstance(request, Request)
    assert (str(request.url), request.ttl) == (url, ttl)


@pytest.mark.parametrize(
    "query", ["", "url=", "url=a&url=b", "url=h/p", "url=http://h/&ttl=", "url=http://h/&ttl=1w", "ttl=1d"]
)
def test_bad_fetch(query: str) -> None:
    with pytest.raises(BadRequest):
        wanted(query)


@pytest.mark.parametrize("path", [FETCH, "/api/v1/health/", "/api/v1/status/"])
def test_only_get_and_head(path: str) -> None:
    wanted("url=http://h/", path, "HEAD")
    with pytest.raises(MethodNotAllowed):
        wanted("url=http://h/", path, "POST")


@pytest.mark.parametrize(
    ("path", "status", "disposition"),
    [
        (FETCH, 200, None),
        (f"{FETCH}a.img", 200, "attachment; filename=a.img"),
        (f"{FETCH}a.img", 206, "attachment; filename=a.img"),
        (f"{FETCH}a.img", 404, None),
        (f"{FETCH}a.img", 304, None),
        (f"{FETCH}a%20b", 200, "attachment; filename=\"a b\"; filename*=UTF-8''a%20b"),
        (f"{FETCH}a%0Ab%5C%22", 200, "attachment; filename=\"a_b__\"; filename*=UTF-8''a%0Ab%5C%22"),
    ],
)
def test_name(path: str, status: int, disposition: str | None) -> None:
    head = Head(status, "", Headers([("Content-Disposition", "inline")]))
    present = kisscache().present(Local(path, ""), Request("GET", parse_url("http://h/p"), ttl=60.0))
    assert present(head).headers.lines("content-disposition") == (disposition or "inline",)


@pytest.mark.parametrize(
    ("url", "fields", "disposition"),
    [
        ("http://h/dir/a.img", [], "attachment; filename=a.img"),
        ("http://h/dir/a.img?sig=secret", [], "attachment; filename=a.img"),
        ("http://h/two%20words", [], "attachment; filename=\"two words\"; filename*=UTF-8''two%20words"),
        ("http://h/dir%2F..%2Fa.img", [], "attachment; filename=a.img"),
        ("http://h/dir/", [], None),
        ("http://h/a", [("content-disposition", 'inline; filename="b"')], 'inline; filename="b"'),
    ],
)
def test_name_without_one_in_the_path(
    url: str, fields: list[tuple[str, str]], disposition: str | None
) -> None:
    present = kisscache().present(Local(FETCH, ""), Request("GET", parse_url(url), ttl=60.0))
    lines = present(Head(200, "", Headers(fields))).headers.lines("Content-Disposition")
    assert lines == (() if disposition is None else (disposition,))


def unused(wanted: Wanted) -> Request:
    raise AssertionError(f"{wanted.url}: nothing was to be fetched")


def body(response: Request | Response) -> bytes:
    assert isinstance(response, Response)
    return b"".join(piece for piece in response.body if isinstance(piece, bytes))


@pytest.mark.parametrize(("limit", "quota", "percent"), [(1000, 1000, 25.0), (None, 0, 0)])
def test_status(limit: int | None, quota: int, percent: float) -> None:
    local = Local("/api/v1/status/", "")
    status = json.loads(body(kisscache(limit, instance="lab").wanted("GET", local, unused)))
    assert (status["disk_usage"], status["disk_quota"]) == (250, quota)
    assert status["disk_usage_percent"] == percent
    assert (status["resources_successes"], status["resources_downloading"]) == (4, 2)
    assert (status["statistics_successes"], status["statistics_failures"]) == (9, 1)
    assert (status["statistics_download"], status["statistics_upload"]) == (100, 900)
    assert (status["statistics_requests"], status["resources_usage"], status["instance"]) == (10, 6, "lab")


def test_health(tmp_path: Path) -> None:
    health = kisscache(shutdown_file=tmp_path / "stop")
    local = Local("/api/v1/health/", "")
    assert body(health.wanted("GET", local, unused)) == b"ok"
    (tmp_path / "stop").touch()
    answer = health.wanted("GET", local, unused)
    assert isinstance(answer, Response)
    assert answer.head.status == 503
