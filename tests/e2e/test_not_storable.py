"""What was not stored a moment ago: it holds back no one, and what one client is told is not for others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Proxy, Reply
from origin import Asked, Generated, Origin, Resource

MakeProxy = Callable[..., Proxy]
MB = 1 << 20
FRESH = {"cache_control": "max-age=3600"}


@pytest.fixture
def proxy(make_proxy: MakeProxy) -> Proxy:
    return make_proxy(workers=2)


def is_hit(reply: Reply) -> bool:
    return "; hit" in (reply.get("Cache-Status") or "")


@pytest.mark.parametrize(
    "before",
    [
        {"status": 404},
        {"status": 404, "etag": '"1"'},
        {"status": 503},
        {"status": 403},
        {"status": 204, "cache_control": "no-store"},
        {"body": b"not yet", "cache_control": "no-store"},
        {"status": 302, "headers": [("Location", "/wait")]},
        {"body": b"for one", "headers": [("Set-Cookie", "a=b")]},
        {"body": b"unlike", "cache_control": "max-age=9", "headers": [("Vary", "*")]},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values() if isinstance(value, str | int)),
)
def test_what_is_polled_for_is_stored_once_it_is_there(
    origin: Origin, proxy: Proxy, before: dict[str, object]
) -> None:
    origin.put("/a", **before)  # type: ignore[arg-type]
    for _ in range(3):
        proxy.get(origin.url("/a"))
    origin.put("/a", b"there", **FRESH)
    replies = [proxy.get(origin.url("/a")) for _ in range(3)]
    assert {reply.body for reply in replies} == {b"there"}
    assert is_hit(replies[-1])
    assert origin.count("/a") == 4


def test_all_who_polled_share_one_download(origin: Origin, proxy: Proxy) -> None:
    body = Generated(2 * MB, seed=1)
    origin.put("/a", status=404)
    for _ in range(3):
        proxy.get(origin.url("/a"))
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=0.5)
    clients = [proxy.download(origin.url("/a"), expected=body) for _ in range(6)]
    for client in clients:
        client.start()
    gate.wait_reached()
    gate.open()
    assert all(client.join().correct for client in clients)
    assert origin.count("/a") == 4


def test_what_one_client_is_told_makes_nothing_uncacheable(origin: Origin, proxy: Proxy) -> None:
    life = "max-age=0"

    def handler(asked: Asked) -> Resource:
        if asked.get("Cookie"):
            return Resource(b"for Alice", cache_control="private")
        return Resource(b"for all", etag='"1"', cache_control=life)

    origin.put("/a", handler=handler)
    proxy.get(origin.url("/a"))
    assert proxy.get(origin.url("/a"), [("Cookie", "ALICE")]).body == b"for Alice"
    life = "max-age=600"
    replies = [proxy.get(origin.url("/a")) for _ in range(3)]
    assert {reply.body for reply in replies} == {b"for all"}
    assert is_hit(replies[-1])
    # The first of them validated what is stored.
    assert [asked.get("If-None-Match") for asked in origin.asked("/a")] == [None, '"1"', '"1"']


LARGE = [("X", "x" * 5000)]
OVERRIDE = [("X-HTTP-Method-Override", "DELETE")]


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        *((status, LARGE) for status in (400, 404, 405, 410, 413, 414, 431, 501)),
        *((status, OVERRIDE) for status in (404, 405, 501)),
        (400, [("Odd", "1")]),
        (431, [("Odd", "1")]),
        (500, [("Odd", "1")]),
    ],
)
def test_an_error_that_one_clients_fields_caused_is_his(
    origin: Origin, proxy: Proxy, status: int, fields: list[tuple[str, str]]
) -> None:
    def handler(asked: Asked) -> Resource:
        refused = any(asked.get(name) for name, _value in fields)
        return Resource(b"refused" if refused else b"fine", status=status if refused else 200, **FRESH)

    origin.put("/a", handler=handler)
    assert proxy.get(origin.url("/a"), fields).status == status
    for _ in range(2):
        assert proxy.get(origin.url("/a")).body == b"fine"


@pytest.mark.parametrize("rule", [False, True])
@pytest.mark.parametrize(
    ("status", "by_default"),
    [(404, True), (410, True), (501, True), (400, False), (403, False), (503, False)],
)
def test_which_errors_are_kept(
    origin: Origin, make_proxy: MakeProxy, status: int, by_default: bool, rule: bool
) -> None:
    config = {"rules": [{"match": {"status": status}, "fresh": "1h"}]} if rule else {}
    proxy = make_proxy(workers=1, config=config)
    origin.put("/a", b"no", status=status, **FRESH)
    assert [proxy.get(origin.url("/a")).status for _ in range(2)] == [status] * 2
    assert origin.count("/a") == (1 if by_default or rule else 2)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ([("Range", "bytes=2-3"), ("If-Unmodified-Since", "Fri, 01 Jan 2021 00:00:00 GMT")], 1),
        ([("Range", "bytes=2-3"), ("If-Match", '"1"')], 1),
        ([("Range", "bytes=2-3"), ("If-Match", '"2"')], 2),
        ([("Range", "bytes=2-3"), ("If-Unmodified-Since", "Mon, 01 Jan 2018 00:00:00 GMT")], 2),
    ],
)
def test_a_range_on_conditions_that_hold_is_a_hit(
    origin: Origin, proxy: Proxy, fields: list[tuple[str, str]], asked: int
) -> None:
    modified = "Wed, 01 Jan 2020 00:00:00 GMT"
    origin.put("/a", b"0123456789", etag='"1"', last_modified=modified, **FRESH)
    proxy.get(origin.url("/a"))
    reply = proxy.get(origin.url("/a"), fields)
    assert origin.count("/a") == asked
    if asked == 1:
        assert (reply.status, reply.body) == (206, b"23")


def test_a_head_that_says_nothing_of_the_length_deletes_nothing(origin: Origin, proxy: Proxy) -> None:
    def handler(asked: Asked) -> Resource | bytes:
        if asked.method == "HEAD":
            return (
                b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\nCache-Control: max-age=600\r\n\r\n'
            )
        return Resource(b"body", etag='"1"', cache_control="max-age=0")

    origin.put("/a", handler=handler)
    proxy.get(origin.url("/a"))
    proxy.get(origin.url("/a"), method="HEAD")
    assert is_hit(proxy.get(origin.url("/a")))
    assert origin.count("/a") == 2
