"""Parts of objects: kept as they come, put together, completed, and taken over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import pytest
from harness import Proxy, Reply
from origin import Asked, Generated, Origin, Resource

MB = 1_000_000
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}
DIGITS = b"0123456789"

MakeProxy = Callable[..., Proxy]


def ranges(origin: Origin, path: str = "/a") -> list[str | None]:
    return [asked.get("Range") for asked in origin.asked(path)]


def part(proxy: Proxy, url: str, wanted: str, *headers: tuple[str, str]) -> Reply:
    return proxy.get(url, [("Range", f"bytes={wanted}"), *headers])


@pytest.mark.parametrize(
    ("stored", "wanted", "asked", "status", "body"),
    [
        pytest.param(["2-5"], "2-5", [], 206, b"2345", id="the-same"),
        pytest.param(["2-5"], "3-4", [], 206, b"34", id="within"),
        pytest.param(["-4"], "-2", [], 206, b"89", id="suffix"),
        pytest.param(["4-"], "6-", [], 206, b"6789", id="to-the-end"),
        pytest.param(["0-2", "3-5"], "1-4", [], 206, b"1234", id="across"),
        pytest.param(["0-6", "3-9"], None, [], 200, DIGITS, id="overlapping-whole"),
        pytest.param(["2-5"], "4-8", ["bytes=6-8"], 206, b"45678", id="the-rest-of-it"),
        pytest.param(["2-5"], "0-3", ["bytes=0-1"], 206, b"0123", id="what-comes-before"),
        pytest.param(["3-5"], "1-7", ["bytes=1-2", "bytes=6-7"], 206, b"1234567", id="both-sides"),
        pytest.param(["0-4"], None, ["bytes=5-"], 200, DIGITS, id="completed"),
        pytest.param(["0-1", "8-9"], None, ["bytes=2-7"], 200, DIGITS, id="filled-in"),
        pytest.param(["0-4"], "20-", ["bytes=20-"], 416, b"", id="outside"),
    ],
)
def test_only_what_is_missing_is_fetched(
    origin: Origin,
    proxy: Proxy,
    stored: Iterable[str],
    wanted: str | None,
    asked: list[str],
    status: int,
    body: bytes,
) -> None:
    origin.put("/a", DIGITS, **FRESH)
    for one in stored:
        assert part(proxy, origin.url("/a"), one).status == 206
    origin.forget()
    url = origin.url("/a")
    reply = proxy.get(url) if wanted is None else part(proxy, url, wanted)
    assert (reply.status, reply.body, reply.complete) == (status, body, True)
    assert ranges(origin) in (asked, [])  # what lies outside is known from the length
    assert reply.get("Content-Length") == str(len(body))
    again = proxy.get(url) if wanted is None else part(proxy, url, wanted)
    assert (again.status, again.body) == (status, body)
    assert len(ranges(origin)) <= len(asked)


def test_a_head_is_answered_by_what_is_the_whole(origin: Origin, proxy: Proxy) -> None:
    """As of uv, which asks for parts of a wheel, and then, as another user, whether it can."""
    origin.put("/a", DIGITS, headers=[("X-Kind", "digits")], **FRESH)
    part(proxy, origin.url("/a"), "-20")
    for wanted in ("0-4", "5-9"):
        part(proxy, origin.url("/a"), wanted)
    origin.forget()
    reply = proxy.get(origin.url("/a"), method="HEAD")
    assert (reply.status, reply.body, reply.get("Content-Length")) == (200, b"", "10")
    assert (reply.get("X-Kind"), reply.get("Content-Range")) == ("digits", None)
    assert origin.requests == []


def test_a_part_tells_where_it_lies(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", DIGITS, **FRESH)
    part(proxy, origin.url("/a"), "2-7")
    reply = part(proxy, origin.url("/a"), "3-4")
    assert reply.get("Content-Range") == "bytes 3-4/10"
    assert (reply.get("Cache-Status") or "").partition("; ")[2].startswith("hit")


def test_many_ask_for_one_part_at_once(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(4 * MB, seed=31)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=2 * MB)
    proxy = make_proxy(workers=2, threads=64)
    wanted = [("Range", f"bytes={MB}-{3 * MB - 1}")]
    clients = [proxy.download(origin.url("/a"), wanted, expected=body).start() for _ in range(20)]
    gate.wait_reached()
    gate.open()
    assert all(client.join().correct and client.complete for client in clients)
    assert origin.count("/a") == 1


def test_the_whole_is_completed_once_for_all(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(4 * MB, seed=32)
    origin.put("/a", body, **FRESH)
    proxy = make_proxy(workers=2, threads=64)
    part(proxy, origin.url("/a"), f"0-{MB - 1}")
    gate = origin.gate("/a", at=2 * MB)
    clients = [proxy.download(origin.url("/a"), expected=body).start() for _ in range(20)]
    gate.wait_reached()
    gate.open()
    assert all(client.join().correct and client.complete for client in clients)
    assert ranges(origin) == [f"bytes=0-{MB - 1}", f"bytes={MB}-"]


def test_a_stale_part_is_validated(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", DIGITS, etag='"v1"', cache_control="max-age=0")
    part(proxy, origin.url("/a"), "2-7")
    reply = part(proxy, origin.url("/a"), "3-4")
    assert (reply.status, reply.body) == (206, b"34")
    last = origin.asked("/a")[-1]
    assert (last.get("If-None-Match"), last.get("Range")) == ('"v1"', "bytes=3-4")
    assert "fwd-status=304" in (reply.get("Cache-Status") or "")


def test_stale_parts_are_completed_and_fresh_again(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", DIGITS, etag='"v1"', cache_control="max-age=0")
    part(proxy, origin.url("/a"), "0-4")
    origin.put("/a", DIGITS, etag='"v1"', cache_control="max-age=100")
    assert proxy.get(origin.url("/a")).body == DIGITS
    assert proxy.get(origin.url("/a")).body == DIGITS
    assert ranges(origin) == ["bytes=0-4", "bytes=5-"]
    assert origin.asked("/a")[-1].get("If-Range") == '"v1"'


@pytest.mark.parametrize("wanted", [None, "2-7"])
def test_an_object_that_changed_is_not_mixed(origin: Origin, proxy: Proxy, wanted: str | None) -> None:
    origin.put("/a", DIGITS, **FRESH)
    part(proxy, origin.url("/a"), "0-4")
    origin.put("/a", b"abcdefghij", etag='"v2"', cache_control="max-age=3600")
    url = origin.url("/a")
    reply = proxy.get(url) if wanted is None else part(proxy, url, wanted)
    assert reply.body == (b"abcdefghij" if wanted is None else b"cdefgh")
    assert proxy.get(url).body == b"abcdefghij"


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_validator_nothing_is_combined(
    origin: Origin, proxy: Proxy, etag: str | None
) -> None:
    origin.put("/a", DIGITS, etag=etag, cache_control="max-age=3600")
    part(proxy, origin.url("/a"), "0-4")
    assert part(proxy, origin.url("/a"), "5-9").body == b"56789"
    assert part(proxy, origin.url("/a"), "1-2").body == b"12"
    assert proxy.get(origin.url("/a")).body == DIGITS
    assert ranges(origin) == ["bytes=0-4", "bytes=5-9", None]


def test_the_next_leader_of_a_part_resumes_it(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(6 * MB, seed=33)
    origin.put("/a", body, **FRESH, break_at=[3 * MB, None])
    proxy = make_proxy()
    wanted = [("Range", f"bytes={MB}-{5 * MB - 1}")]
    client = proxy.download(origin.url("/a"), wanted, expected=body).run()
    assert client.correct
    assert client.complete
    assert ranges(origin) == [f"bytes={MB}-{5 * MB - 1}", f"bytes={3 * MB}-{5 * MB - 1}"]


def test_an_origin_that_knows_no_ranges_sends_the_whole_once(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(4 * MB, seed=35)
    origin.put("/a", body, **FRESH, ranges=False)
    gate = origin.gate("/a", at=2 * MB)
    proxy = make_proxy(workers=2, threads=64)
    clients = [
        proxy.download(
            origin.url("/a"), [("Range", f"bytes={n * 100_000}-{n * 100_000 + 9}")], expected=body
        ).start()
        for n in range(30)
    ]
    gate.wait_reached()
    near = [client.join() for client in clients[:20]]  # while the rest of the whole is held back
    gate.open()
    assert all(client.join().correct and client.complete for client in [*near, *clients])
    origin.forget()
    assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
    assert ranges(origin) == []


CONTRADICTION = (
    b"HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=3600\r\nContent-Length: %d\r\n"
    b"Content-Range: bytes 4-9/10\r\n\r\n%b"
)


def answer(content: bytes, _asked: Asked) -> Resource | bytes:
    return CONTRADICTION % (len(content), content)


@pytest.mark.parametrize("content", [b"45678", b"45678901"], ids=["short", "long"])
def test_a_part_that_contradicts_itself_is_handed_on(origin: Origin, proxy: Proxy, content: bytes) -> None:
    origin.put("/a", handler=partial(answer, content))
    reply = part(proxy, origin.url("/a"), "4-9")
    assert (reply.status, reply.body, reply.complete) == (206, content, True)
    assert reply.get("Content-Range") == "bytes 4-9/10"


def test_several_ranges_come_as_multipart(origin: Origin, proxy: Proxy) -> None:
    body = bytes(range(256)) * 8
    origin.put("/a", body, **FRESH)
    reply = part(proxy, origin.url("/a"), "0-9,1000-1009")
    assert reply.status == 206
    assert (reply.get("Content-Type") or "").startswith("multipart/byteranges; boundary=")
    assert body[0:10] in reply.body
    assert body[1000:1010] in reply.body
    assert reply.get("Content-Length") == str(len(reply.body))
