"""A resource in several content codings: what one client's copy means for others, and what continues it."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Asked, Generated, Origin

MakeProxy = Callable[..., Proxy]
PLAIN = b"body {}\n" * 500
PACKED = gzip.compress(PLAIN, mtime=0)
GZIP = [("Accept-Encoding", "gzip")]


def answer(status: str, *lines: str, body: bytes = b"") -> bytes:
    length = [] if status.startswith("304") else [f"Content-Length: {len(body)}"]
    return "\r\n".join([f"HTTP/1.1 {status}", *length, *lines, "\r\n"]).encode() + body


def packing(plain: str, packed: str, max_age: int = 600) -> Callable[[Asked], bytes]:
    """An origin that packs, with its entity tags for both forms, and says 304 as if it did not."""

    def handler(asked: Asked) -> bytes:
        common = [f"Cache-Control: max-age={max_age}", "Vary: Accept-Encoding"]
        tags = (asked.get("If-None-Match") or "").replace("W/", "")
        if plain.removeprefix("W/") in tags:
            return answer("304 Not Modified", f"ETag: {plain}", *common)
        if "gzip" in (asked.get("Accept-Encoding") or ""):
            return answer("200 OK", f"ETag: {packed}", "Content-Encoding: gzip", *common, body=PACKED)
        return answer("200 OK", f"ETag: {plain}", *common, body=PLAIN)

    return handler


TAGS = pytest.mark.parametrize(
    ("plain", "packed"),
    [('"a"', 'W/"a"'), ('W/"a"', 'W/"a"'), ('"a"', '"a"'), ('W/"a"', '"a"')],
    ids=["weakened", "weak", "strong-for-both", "strengthened"],
)


@TAGS
def test_a_packed_copy_is_for_those_who_asked_for_it(
    origin: Origin, make_proxy: MakeProxy, plain: str, packed: str
) -> None:
    proxy, url = make_proxy(workers=1), origin.url("/a")
    origin.put("/a", handler=packing(plain, packed))
    assert proxy.get(url, GZIP).body == PACKED
    for fields in ([], [("Accept-Encoding", "identity")], [("Accept-Encoding", "br")]):
        for _turn in range(2):
            reply = proxy.get(url, fields)
            assert (reply.body, reply.get("Content-Encoding")) == (PLAIN, None)
    assert proxy.get(url, [("Range", "bytes=0-7")]).body == PLAIN[:8]
    assert proxy.get(url, GZIP).body == PACKED


@TAGS
def test_a_304_with_the_other_forms_tag_validates(
    origin: Origin, make_proxy: MakeProxy, plain: str, packed: str
) -> None:
    proxy, url = make_proxy(workers=1), origin.url("/a")
    origin.put("/a", handler=packing(plain, packed, max_age=0))
    for _turn in range(3):
        reply = proxy.get(url, GZIP)
        assert (reply.body, reply.get("ETag")) == (PACKED, packed)
    # Each by one request, and with the tag that these bytes came with.
    assert [asked.get("If-None-Match") for asked in origin.asked("/a")] == [None, packed, packed]


def test_a_304_of_something_else_leads_to_what_is_stored(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy, url = make_proxy(workers=1), origin.url("/a")

    def handler(asked: Asked) -> bytes:
        if asked.get("If-None-Match"):
            return answer("304 Not Modified", 'ETag: "other"')
        number = origin.count("/a")
        life = "max-age=0" if number == 1 else "max-age=600"
        return answer("200 OK", f'ETag: "{number}"', f"Cache-Control: {life}", body=b"%d" % number)

    origin.put("/a", handler=handler)
    assert [proxy.get(url).body for _ in range(3)] == [b"1", b"3", b"3"]
    assert origin.count("/a") == 3


BODY = bytes(range(256)) * 400
LONG = gzip.compress(random.Random(1).randbytes(60_000), mtime=0)
CUT = 30_000


def chunked(body: bytes, *lines: str, ends: bool) -> bytes:
    fields = "\r\n".join([*lines, "Transfer-Encoding: chunked", "\r\n"])
    return f"HTTP/1.1 200 OK\r\n{fields}{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n" * ends


def continued(*lines: str, body: bytes, total: int) -> bytes:
    span = f"Content-Range: bytes {CUT}-{CUT + len(body) - 1}/{total}"
    return answer("206 Partial Content", span, *lines, body=body)


@pytest.mark.parametrize(
    ("whole", "first", "second"),
    [
        pytest.param(
            LONG,
            ['ETag: "a"', "Content-Encoding: gzip"],
            continued('ETag: "a"', body=BODY[CUT:], total=len(BODY)),
            id="coding",
        ),
        pytest.param(
            LONG,
            ['ETag: "a"', "Content-Encoding: gzip"],
            continued('ETag: "a"', "Content-Encoding: gzip", body=BODY[CUT:], total=len(BODY)),
            id="packed-anew",
        ),
        pytest.param(
            BODY,
            ['ETag: "a"'],
            continued('ETag: "a"', "Content-Encoding: gzip", body=LONG[CUT:], total=len(LONG)),
            id="packed-after-plain",
        ),
        pytest.param(
            BODY,
            ['ETag: "a"', "Content-Type: text/plain"],
            continued('ETag: "a"', "Content-Type: text/html", body=LONG[CUT:], total=len(LONG)),
            id="type",
        ),
        pytest.param(
            BODY, ['ETag: "a"'], continued('ETag: "b"', body=LONG[CUT:], total=len(LONG)), id="tag"
        ),
    ],
)
def test_nothing_is_joined_to_a_body_that_is_not_of_it(
    origin: Origin, make_proxy: MakeProxy, whole: bytes, first: list[str], second: bytes
) -> None:
    proxy, url = make_proxy(workers=1, config={"fetch": {"tries": 3, "pause": 0}}), origin.url("/a")
    lines = ["Cache-Control: max-age=600", *first]

    def handler(asked: Asked) -> bytes:
        if asked.get("Range"):
            return second
        ends = origin.count("/a") > 1
        return chunked(whole if ends else whole[:CUT], *lines, ends=ends)

    origin.put("/a", handler=handler)
    reply = proxy.get(url, GZIP)
    assert reply.body == whole or not reply.complete
    assert proxy.get(url, GZIP).body == whole


def test_a_killed_leaders_packed_body_is_begun_anew(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(4 << 20, seed=21)
    fields = [("Content-Encoding", "gzip")]
    origin.put("/a", body, cache_control="max-age=3600", etag='"v1"', chunked=True, headers=fields)
    gate = origin.gate("/a", at=0.5)
    proxy, url = make_proxy(workers=1), origin.url("/a")
    client = proxy.download(url, GZIP, expected=body)
    client.open()
    client.start()
    gate.wait_reached()
    (worker,) = proxy.worker_pids()
    proxy.kill_worker(worker)
    gate.open()
    client.join()
    assert not client.complete
    assert proxy.get(url, GZIP).body == body.slice(0, body.size)
    assert [asked.get("Range") for asked in origin.asked("/a")] == [None, None]
