"""HTTP's caching rules through the whole proxy: the decisions themselves are tables in tests/rules."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest
from harness import Proxy, Reply
from origin import Asked, Origin, Resource
from scripted import Scripted

MakeProxy = Callable[..., Proxy]


def status_of(reply: Reply) -> str:
    return (reply.get("Cache-Status") or "").partition("; ")[2].partition("; key=")[0]


def test_every_answer_says_what_became_of_it(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", b"body", cache_control="max-age=100", etag='"1"')
    cold, hit = proxy.get(origin.url("/a")), proxy.get(origin.url("/a"))
    assert status_of(cold) == "fwd=uri-miss; fwd-status=200; stored"
    assert status_of(hit).startswith("hit; ttl=")
    assert (hit.get("Via") or "").startswith("1.1 pyproxycache-")
    assert int(hit.get("Age") or "-1") in range(3)
    assert origin.asked("/a")[0].get("Via") == cold.get("Via")


def test_a_stale_response_is_validated(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", b"body", cache_control="max-age=0", etag='"1"')
    for _ in range(3):
        assert proxy.get(origin.url("/a")).body == b"body"
    assert [asked.get("If-None-Match") for asked in origin.asked("/a")] == [None, '"1"', '"1"']
    reply = proxy.get(origin.url("/a"))
    assert status_of(reply).startswith("fwd=stale; fwd-status=304; ttl=-")
    origin.put("/a", b"changed", cache_control="max-age=100", etag='"2"')
    assert proxy.get(origin.url("/a")).body == b"changed"
    assert status_of(proxy.get(origin.url("/a"))).startswith("hit")


def test_a_file_that_changes_twice_in_a_second(origin: Origin, proxy: Proxy) -> None:
    """An origin with times alone: the one in which it was sent shows no second change in that second."""
    written = time.time() - 60
    fields = {
        "last_modified": written,
        "headers": [("Date", formatdate(written, usegmt=True))],
        "cache_control": "max-age=0",
    }
    origin.put("/a", b"half", **fields)
    assert proxy.get(origin.url("/a")).body == b"half"
    origin.put("/a", b"half and whole", **fields)
    assert proxy.get(origin.url("/a")).body == b"half and whole"


def test_many_wait_for_one_validation(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(workers=2, threads=32)
    origin.put("/a", b"body", cache_control="max-age=0", etag='"1"')
    proxy.get(origin.url("/a"))
    gate = origin.gate("/a")
    clients = [proxy.download(origin.url("/a")) for _ in range(10)]
    for client in clients:
        client.open()
    gate.wait_reached()
    gate.open()
    assert {client.run().received for client in clients} == {4}
    # Those that came while it was asked share its answer; a straggler has to ask again.
    assert origin.count("/a") < 10


def down(origin: Origin) -> None:
    origin.stop()


def failing(status: int) -> Callable[[Origin], None]:
    return lambda origin: origin.put("/a", b"trouble", status=status)


def slow(origin: Origin) -> None:
    origin.put("/a", b"late", head_delay=5)


def breaks(origin: Origin) -> None:
    origin.put("/a", handler=_nothing)


def _nothing(_asked: Asked) -> Resource | bytes:
    return b""


@pytest.mark.parametrize(
    ("trouble", "detail"),
    [
        (down, "origin-failed"),
        (failing(500), "origin-500"),
        (failing(503), "origin-503"),
        (failing(429), "origin-429"),
        (slow, "origin-failed"),
        (breaks, "origin-failed"),
    ],
    ids=["down", "500", "503", "429", "slow", "closes"],
)
def test_a_stale_copy_stands_in_for_the_origin(
    origin: Origin, make_proxy: MakeProxy, trouble: Callable[[Origin], None], detail: str
) -> None:
    proxy = make_proxy(config={"fetch": {"stale_after": 0.5}})
    origin.put("/a", b"body", cache_control="max-age=0", etag='"1"')
    proxy.get(origin.url("/a"))
    trouble(origin)
    reply = proxy.get(origin.url("/a"))
    assert (reply.status, reply.body) == (200, b"body")
    assert f"detail={detail}" in status_of(reply)


def test_must_revalidate_forbids_it(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", b"body", cache_control="max-age=0, must-revalidate", etag='"1"')
    proxy.get(origin.url("/a"))
    origin.stop()
    assert proxy.get(origin.url("/a")).status == 502


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_an_unsafe_method_invalidates(origin: Origin, make_proxy: MakeProxy, method: str) -> None:
    proxy = make_proxy(workers=2)
    origin.put("/a", b"old", cache_control="max-age=100")
    proxy.get(origin.url("/a"))
    origin.put("/a", b"new", cache_control="max-age=100")
    assert proxy.get(origin.url("/a")).body == b"old"
    assert proxy.get(origin.url("/a"), method=method, body=b"x").body == b"new"
    assert proxy.get(origin.url("/a")).body == b"new"
    assert origin.asked("/a")[1].body == b"x"


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        ([("If-None-Match", '"1"')], 304, b""),
        ([("If-None-Match", '"2"')], 200, b"0123456789"),
        ([("Range", "bytes=2-4")], 206, b"234"),
        ([("Range", "bytes=-3")], 206, b"789"),
        ([("Range", "bytes=20-")], 416, b""),
        ([("Range", "bytes=2-4"), ("If-Range", '"1"')], 206, b"234"),
        ([("Range", "bytes=2-4"), ("If-Range", '"2"')], 200, b"0123456789"),
    ],
)
@pytest.mark.parametrize("warm", [True, False], ids=["hit", "cold"])
def test_conditions_and_ranges_are_answered_here(
    origin: Origin,
    proxy: Proxy,
    warm: bool,
    headers: list[tuple[str, str]],
    status: int,
    body: bytes,
) -> None:
    origin.put("/a", b"0123456789", cache_control="max-age=100", etag='"1"')
    if warm:
        proxy.get(origin.url("/a"))
    reply = proxy.get(origin.url("/a"), headers)
    assert (reply.status, reply.body) == (status, body)
    wanted = None if warm else dict(headers).get("Range")
    assert origin.asked("/a")[0].get("Range") == wanted
    # A part that came for nothing is kept all the same, and the client's own request goes on.
    in_vain = not warm and (wanted, status) == ("bytes=2-4", 200)
    assert origin.count("/a") == (2 if in_vain else 1)


def test_bytes_pass_as_the_origin_sent_them(origin: Origin, proxy: Proxy) -> None:
    coded = b"\x1f\x8b not really gzip"
    headers = [("Content-Encoding", "gzip"), ("X-One", "1"), ("X-One", "2")]
    origin.put("/a?q=%7e[x]", coded, cache_control="max-age=100", headers=headers)
    for _ in range(2):
        reply = proxy.get(origin.url("/a?q=%7e[x]"))
        assert reply.body == coded
        assert [value for name, value in reply.headers if name.lower() == "x-one"] == ["1", "2"]
    assert [asked.target for asked in origin.requests] == ["/a?q=%7e[x]"]


RULES = [
    {"match": {"path": "^/week"}, "fresh": {200: "7d", 301: "7d", "any": "1m"}},
    {"match": {"path": "^/never"}, "no_store": True},
    {"match": {"path": "^/cookie"}, "fresh": "1h", "ignore": ["set-cookie"]},
    {"match": {"path": "^/private"}, "fresh": "1h", "ignore": ["cache-control"]},
    {"match": {"path": "^/sorted"}, "fresh": "1h", "query": "sort"},
    {"match": {"path": "^/ignored"}, "fresh": "1h", "query": "ignore"},
    {"match": {"content_type": "^text/html"}, "no_store": True},
]


@pytest.mark.parametrize(
    ("paths", "options", "asked"),
    [
        (["/week", "/week"], {}, 1),
        (["/week", "/week"], {"status": 404}, 1),
        (["/never", "/never"], {"cache_control": "max-age=9"}, 2),
        (["/cookie", "/cookie"], {"headers": [("Set-Cookie", "a=b")]}, 1),
        (["/other", "/other"], {"headers": [("Set-Cookie", "a=b")], "etag": '"1"'}, 2),
        (["/private", "/private"], {"cache_control": "private, no-store"}, 1),
        (["/sorted?b=2&a=1", "/sorted?a=1&b=2"], {}, 1),
        (["/ignored?a=1", "/ignored?b=1"], {}, 1),
        (["/page", "/page"], {"cache_control": "max-age=9", "headers": [("Content-Type", "text/html")]}, 2),
    ],
)
def test_rules_of_the_operator(
    origin: Origin, make_proxy: MakeProxy, paths: list[str], options: dict[str, object], asked: int
) -> None:
    proxy = make_proxy(config={"rules": RULES})
    for path in paths:
        origin.put(path, b"body", **options)
    for path in paths:
        reply = proxy.get(origin.url(path))
        assert reply.body == b"body"
    assert len(origin.requests) == asked
    if paths[0] == "/cookie":
        assert reply.get("Set-Cookie") is None


def test_the_origins_silence_is_a_timeout(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(config={"fetch": {"silence": 0.5, "tries": 2, "pause": 0.01}})
    origin.put("/a", b"body", head_delay=5)
    assert proxy.get(origin.url("/a")).status == 504


@pytest.mark.parametrize(
    ("path", "content_type", "is_whole"),
    [
        ("/slow/a", "text/plain", True),
        ("/a", "text/event-stream; charset=utf-8", True),
        ("/a", "video/mp4", True),
        ("/a", "text/plain", False),
    ],
)
def test_how_long_an_origin_may_be_silent(
    make_proxy: MakeProxy, path: str, content_type: str, is_whole: bool
) -> None:
    """Longer by rule, and between events."""
    rules = [
        {"match": {"path": "^/slow/"}, "silence": "30s"},
        {"match": {"content_type": "^video/"}, "silence": "30s"},
    ]
    proxy = make_proxy(config={"fetch": {"silence": 0.5, "tries": 1}, "rules": rules})
    silent = threading.Event()

    def answer(connection: socket.socket) -> None:
        silent.wait(1.5 if path.startswith("/slow/") else 0)  # before the head, and in the body
        head = f"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: {content_type}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 8\r\n\r\none ")
        silent.wait(1.5)
        connection.sendall(b"two ")

    with Scripted([answer]) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        reply = proxy.get(url)
    assert reply.complete is is_whole


def test_an_origin_that_does_not_answer(origin: Origin, proxy: Proxy) -> None:
    origin.stop()
    reply = proxy.get(origin.url("/a"))
    assert reply.status == 502
    assert b"no connection to 127.0.0.1" in reply.body
