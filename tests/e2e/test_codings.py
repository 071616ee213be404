"""A resource in several content codings: what one client's copy means for others, and what continues it."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Asked, Origin

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
