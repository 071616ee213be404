"""KissCache's interface, as its clients rely on it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Proxy, Reply
from origin import Generated, Origin

STATUS_KEYS = {
    "timestamp",
    "disk_usage",
    "disk_usage_percent",
    "disk_quota",
    "instance",
    "resources_scheduled",
    "resources_downloading",
    "resources_successes",
    "resources_failures",
    "resources_usage",
    "statistics_successes",
    "statistics_failures",
    "statistics_download",
    "statistics_upload",
    "statistics_requests",
    "version",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("kisscache")
    config = {
        "kisscache": {"shutdown_file": str(folder / "stop"), "instance": "lab-1"},
        "store": {"max_size": "1G"},
    }
    with Proxy(folder, config=config) as running:
        yield running


def fetched(cache: Proxy, url: str, name: str = "", extra: str = "", **options: str) -> Reply:
    return cache.get(f"/api/v1/fetch/{name}?url={quote(url, safe='')}{extra}", **options)


def test_the_slash_before_the_query_may_be_missing(cache: Proxy, origin: Origin) -> None:
    origin.put("/slashless", b"kernel")
    reply = cache.get(f"/api/v1/fetch?url={quote(origin.url('/slashless'), safe='')}")
    assert (reply.status, reply.body) == (200, b"kernel")


def test_resource_is_fetched_once(cache: Proxy, origin: Origin) -> None:
    # No freshness of its own: ttl's default of ten days gives it one.
    origin.put("/image", b"kernel")
    for _ in range(3):
        reply = fetched(cache, origin.url("/image"))
        assert (reply.status, reply.body) == (200, b"kernel")
        assert reply.get("Content-Disposition") == "attachment; filename=image"
    assert origin.count("/image") == 1


def test_head(cache: Proxy, origin: Origin) -> None:
    origin.put("/head", b"kernel")
    for _ in range(2):
        reply = fetched(cache, origin.url("/head"), method="HEAD")
        assert (reply.status, reply.get("Content-Length"), reply.body) == (200, "6", b"")
        assert fetched(cache, origin.url("/head")).body == b"kernel"
    assert fetched(cache, origin.url("/head"), "a.img", method="HEAD").get("Content-Disposition")


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("rootfs.tar.gz", "attachment; filename=rootfs.tar.gz"),
        ("two%20words", "attachment; filename=\"two words\"; filename*=UTF-8''two%20words"),
        ("caf%C3%A9", "attachment; filename=\"caf_\"; filename*=UTF-8''caf%C3%A9"),
        ("a%22%0D%0AX:b", "attachment; filename=\"a___X:b\"; filename*=UTF-8''a%22%0D%0AX%3Ab"),
    ],
)
def test_named(cache: Proxy, origin: Origin, name: str, disposition: str) -> None:
    origin.put("/named", b"kernel")
    reply = fetched(cache, origin.url("/named"), name)
    assert (reply.body, reply.get("Content-Disposition")) == (b"kernel", disposition)
    missing = fetched(cache, origin.url("/missing"), name)
    assert (missing.status, missing.get("Content-Disposition")) == (404, None)


def test_range(cache: Proxy, origin: Origin) -> None:
    origin.put("/range", b"0123456789")
    target = f"/api/v1/fetch/part?url={origin.url('/range')}"
    reply = cache.get(target, [("Range", "bytes=2-4")])
    assert (reply.status, reply.body) == (206, b"234")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?url=",
        "?ttl=1d",
        "?url=nonsense",
        "?url=ftp%3A%2F%2Fh%2F",
        "?url=http%3A%2F%2F%2F",
        "?url={0}&url={0}",
        *(
            f"?url={{0}}&ttl={ttl}"
            for ttl in ("", "5", "1y", "d", "-1d", "1.5h", "1d%20", "9999999999d", "%D9%A1d")
        ),
    ],
)
def test_bad_url_or_ttl(cache: Proxy, origin: Origin, query: str) -> None:
    reply = cache.get(f"/api/v1/fetch/{query.format(quote(origin.url('/x'), safe=''))}")
    assert reply.status == 400
    assert reply.body.strip()
    assert origin.requests == []


@pytest.mark.parametrize("path", ["/api/v1/fetch/?url=http://h/", "/api/v1/health/", "/api/v1/status/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(cache: Proxy, path: str, method: str) -> None:
    reply = cache.get(path, method=method)
    assert (reply.status, reply.get("Allow")) == (405, "GET, HEAD")


def test_ttl_shortens_and_does_not_extend(cache: Proxy, origin: Origin) -> None:
    origin.put("/ttl", b"kernel", etag='"1"', cache_control="max-age=1")
    url = origin.url("/ttl")
    assert fetched(cache, url, extra="&ttl=1h").body == b"kernel"
    assert fetched(cache, url, extra="&ttl=20d").body == b"kernel"
    assert origin.count("/ttl") == 1
    # From here on it is as old as it may be, for all who ask in this way.
    assert fetched(cache, url, extra="&ttl=0s").body == b"kernel"
    assert fetched(cache, url, extra="&ttl=0s").body == b"kernel"
    before = origin.count("/ttl")
    assert before > 1
    assert fetched(cache, url, extra="&ttl=20d").body == b"kernel"


@pytest.mark.parametrize(
    "stated", ["max-age=0", "max-age=0, must-revalidate", "no-cache", None], ids=lambda stated: stated
)
@pytest.mark.parametrize("etag", [None, '"{}"'])
def test_ttl_is_for_those_who_send_it(
    cache: Proxy, origin: Origin, stated: str | None, etag: str | None
) -> None:
    """Whatever one client asks for, a plain one gets what HTTP says, from the store and from memory."""
    url = origin.url("/shared")
    for number in range(4):
        tag = None if etag is None else etag.format(number)
        origin.put("/shared", b"%d" % number, etag=tag, cache_control=stated)
        for _ in range(3):
            fetched(cache, url, extra="&ttl=9999d")
            assert cache.get(url).body == b"%d" % number


def test_ttl_holds_for_its_own_clients_meanwhile(cache: Proxy, origin: Origin) -> None:
    """A plain client's miss neither takes the copy away nor keeps the next one from being stored."""
    url = origin.url("/both")
    origin.put("/both", b"old")
    assert cache.get(url).body == b"old"  # from here on it is known that plain requests store nothing
    assert fetched(cache, url).body == b"old"
    origin.put("/both", b"new")
    for _ in range(2):
        assert fetched(cache, url).body == b"old"
        assert cache.get(url).body == b"new"


def test_ttl_does_not_hold_against_must_revalidate(cache: Proxy, origin: Origin) -> None:
    url = origin.url("/strict")
    for name in (b"old", b"new"):
        origin.put("/strict", name, etag=f'"{name.decode()}"', cache_control="max-age=0, must-revalidate")
        assert fetched(cache, url, extra="&ttl=9999d").body == name


def test_ttl_has_a_limit(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(config={"kisscache": {"max_ttl": 0}})
    for name in (b"old", b"new"):
        origin.put("/capped", name, etag=f'"{name.decode()}"')
        assert fetched(proxy, origin.url("/capped"), extra="&ttl=9999d").body == name


def test_status_of_the_origin(cache: Proxy, origin: Origin) -> None:
    for status in (404, 403, 410, 500, 503):
        origin.put(f"/{status}", b"no", status=status)
        assert fetched(cache, origin.url(f"/{status}")).status == status


def test_origin_that_cannot_be_reached(cache: Proxy, origin: Origin) -> None:
    origin.stop()
    assert fetched(cache, origin.url("/x")).status == 502
    assert fetched(cache, "http://name.invalid/").status == 502
    origin.start()


def test_health_follows_the_shutdown_file(cache: Proxy) -> None:
    stop = Path(cache.config_file.parent / "stop")
    assert (cache.get("/api/v1/health/").status, cache.get("/api/v1/health/").body) == (200, b"ok")
    stop.touch()
    assert cache.get("/api/v1/health/").status == 503
    stop.unlink()
    assert cache.get("/api/v1/health/").status == 200


def test_status(cache: Proxy, origin: Origin) -> None:
    body = Generated(4 << 20)
    origin.put("/slow", body)
    gate = origin.gate("/slow", at=0.5)
    with cache.download(f"/api/v1/fetch/?url={origin.url('/slow')}", expected=body) as running:
        running.take(1000)
        reply = cache.get("/api/v1/status/")
        gate.open()
        running.run()
    status = json.loads(reply.body)
    assert reply.get("Content-Type") == "application/json"
    assert set(status) == STATUS_KEYS
    assert (status["instance"], status["disk_quota"]) == ("lab-1", 1 << 30)
    assert status["resources_downloading"] == 1
    assert running.correct


def test_can_be_switched_off(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(config={"kisscache": {"enabled": False}})
    for path in ("/api/v1/health/", "/api/v1/status/", f"/api/v1/fetch/?url={origin.url('/x')}"):
        assert proxy.get(path).status == 404
    assert origin.requests == []
