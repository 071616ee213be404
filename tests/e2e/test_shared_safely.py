"""What one client is told or does never spoils what the others get."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import partial

import pytest
from harness import Download, Proxy, Reply
from origin import Asked, Origin, Resource
from waiting import until

MakeProxy = Callable[..., Proxy]
Fields = list[tuple[str, str]]

DIGITS = b"0123456789"
DAY = 86400
LONG_AGO = "Mon, 05 Jan 2015 10:00:00 GMT"
RELOAD = ("Cache-Control", "no-cache")


def part(proxy: Proxy, url: str, wanted: str | None, *headers: tuple[str, str]) -> Reply:
    """A part, or the whole where none is named."""
    return proxy.get(url, [("Range", f"bytes={wanted}"), *headers] if wanted else headers)


def mentions(reply: Reply | Download, name: str) -> bool:
    """Whether any field tells this name."""
    return any(name in value for _name, value in reply.headers)


def forward(reply: Reply) -> str:
    return (reply.get("Cache-Status") or "").partition("; fwd=")[2].partition(";")[0]


class TestRangeNotSatisfiable:
    """An answer to one Range is none to another request (RFC 9110 section 15.5.17)."""

    @pytest.mark.parametrize("etag", ['"v1"', None], ids=["strong", "no-validator"])
    @pytest.mark.parametrize("before", [(), ("0-4",)], ids=["nothing-stored", "a-part-stored"])
    @pytest.mark.parametrize(
        "fields",
        [
            [("Content-Range", "bytes */10"), ("Cache-Control", "max-age=600")],
            [("Content-Range", "bytes */10"), ("Cache-Control", "public, s-maxage=600")],
            [("Content-Range", "bytes */10")],
            [("Cache-Control", "max-age=600")],
        ],
        ids=["max-age", "s-maxage", "no-freshness", "no-length"],
    )
    def test_it_is_never_stored(
        self, origin: Origin, proxy: Proxy, fields: Fields, before: Iterable[str], etag: str | None
    ) -> None:
        origin.put("/a", handler=partial(unsatisfiable, fields, etag))
        url = origin.url("/a")
        for one in before:
            assert part(proxy, url, one).status == 206
        assert part(proxy, url, "99-").status == 416
        for wanted, status, body in ((None, 200, DIGITS), ("2-3", 206, b"23")):
            reply = part(proxy, url, wanted)
            assert (reply.status, reply.body) == (status, body)

    def test_nor_by_the_operators_rule(self, origin: Origin, make_proxy: MakeProxy) -> None:
        proxy = make_proxy(config={"rules": [{"match": {"path": "^/a"}, "fresh": {"any": "1h"}}]})
        origin.put("/a", handler=partial(unsatisfiable, [("Content-Range", "bytes */10")], '"v1"'))
        assert part(proxy, origin.url("/a"), "99-").status == 416
        reply = part(proxy, origin.url("/a"), "2-3")
        assert (reply.status, reply.body) == (206, b"23")
        assert proxy.get(origin.url("/a")).body == DIGITS


def unsatisfiable(fields: Fields, etag: str | None, asked: Asked) -> Resource | bytes:
    if (asked.get("Range") or "").startswith("bytes=99"):
        return Resource(b"", status=416, headers=fields)
    return Resource(DIGITS, etag=etag, cache_control="max-age=600")


SET_COOKIE = [("Set-Cookie", "session={}")]
PRIVATE_FIELD = [("Cache-Control", 'max-age={age}, private="X-Account"'), ("X-Account", "of {}")]
NO_CACHE_FIELD = [("Cache-Control", 'max-age={age}, no-cache="X-Account"'), ("X-Account", "of {}")]
PRIVATE = [("Cache-Control", "private, max-age={age}"), ("X-Account", "of {}")]
NO_STORE = [("Cache-Control", "no-store"), ("X-Account", "of {}")]
NOT_SHAREABLE = [("Cache-Control", "max-age={age}"), ("X-Account", "of {}")]

# The field that says who asks, what the stored response may, and what the validation says to one.
PERSONAL = {
    "set-cookie": ("Cookie", "max-age={age}", SET_COOKIE),
    "private-field": ("Cookie", "max-age={age}", PRIVATE_FIELD),
    "no-cache-field": ("Cookie", "max-age={age}", NO_CACHE_FIELD),
    "private": ("Cookie", "public, max-age={age}", PRIVATE),
    "no-store": ("Cookie", "public, max-age={age}", NO_STORE),
    "authorization": ("Authorization", "max-age={age}", NOT_SHAREABLE),
    "authorization-no-longer-public": ("Authorization", "public, max-age={age}", NOT_SHAREABLE),
}
FOR_ONE_ONLY = {
    name: case for name, case in PERSONAL.items() if case[2] in (PRIVATE, NO_STORE, NOT_SHAREABLE)
}

COOKIES_FOR_ALL = ["public, max-age=600", "public"]
COOKIES_FOR_ONE = ["max-age=600", "s-maxage=600", "max-age=600, must-revalidate"]


class TestCookies:
    """A cookie is for the one who asked, unless the response is `public`, or a rule says otherwise."""

    @pytest.mark.parametrize("rule", [False, True])
    @pytest.mark.parametrize("cache_control", COOKIES_FOR_ALL + COOKIES_FOR_ONE)
    def test_who_gets_it(
        self, origin: Origin, make_proxy: MakeProxy, cache_control: str, rule: bool
    ) -> None:
        def handler(asked: Asked) -> Resource:
            headers = [("Set-Cookie", f"id={origin.count('/a')}"), ("Set-Cookie", "a=b")]
            return Resource(
                DIGITS, etag='"v1"', cache_control=cache_control, last_modified=LONG_AGO, headers=headers
            )

        origin.put("/a", handler=handler)
        proxy = make_proxy(workers=1, config={"rules": [{"store_cookies": True}] if rule else []})
        replies = [proxy.get(origin.url("/a")) for _ in range(3)]
        assert origin.count("/a") == 1
        assert [reply.body for reply in replies] == [DIGITS] * 3
        for_all = rule or cache_control in COOKIES_FOR_ALL
        own, others = "id=1, a=b", "id=1, a=b" if for_all else None
        assert [reply.get("Set-Cookie") for reply in replies] == [own, others, others]

    def test_those_who_wait_for_the_same_download_do_not(
        self, origin: Origin, make_proxy: MakeProxy
    ) -> None:
        origin.put("/a", DIGITS, cache_control="max-age=600", headers=[("Set-Cookie", "a=b")])
        gate = origin.gate("/a", at=5)
        proxy = make_proxy(workers=1)
        clients = [proxy.download(origin.url("/a"), [("X", f"{n}")]) for n in range(4)]
        for client in clients:
            client.start()
        gate.wait_reached()
        gate.open()
        for client in clients:
            client.join()
        assert origin.count("/a") == 1
        with_cookie = [client for client in clients if ("Set-Cookie", "a=b") in list(client.headers)]
        assert len(with_cookie) == 1

    def test_a_validation_brings_one_for_the_one_who_asked(self, origin: Origin, proxy: Proxy) -> None:
        def handler(asked: Asked) -> Resource:
            count = origin.count("/a")
            return Resource(
                DIGITS,
                etag='"v1"',
                cache_control="max-age=600",
                headers=[("Set-Cookie", f"id={count}")],
            )

        origin.put("/a", handler=handler)
        cookies = [proxy.get(origin.url("/a"), fields).get("Set-Cookie") for fields in ([], [RELOAD], [])]
        assert cookies == ["id=1", "id=2", None]


BY_HEURISTICS = {"set-cookie-heuristic": ("Cookie", "", SET_COOKIE)}


def personal(who: str, stored: str, fields: Fields, age: int, asked: Asked) -> Resource | bytes:
    """The same to all, but for the fields that are for who says a name."""
    name = asked.get(who)
    if name is None:
        lasting = stored.format(age=age) or None
        return Resource(DIGITS, etag='"v1"', last_modified=LONG_AGO, cache_control=lasting)
    return Resource(
        DIGITS, etag='"v1"', headers=[(field, value.format(name, age=age)) for field, value in fields]
    )


class TestWhatOneIsTold:
    """Fields of a 304, or of the answer to a HEAD, that are for the one who asked (RFC 9111 section 3)."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("who", "stored", "fields"),
        (PERSONAL | BY_HEURISTICS).values(),
        ids=PERSONAL | BY_HEURISTICS,
    )
    def test_the_next_client_does_not_get_it(
        self, origin: Origin, proxy: Proxy, who: str, stored: str, fields: Fields, method: str
    ) -> None:
        origin.put("/a", handler=partial(personal, who, stored, fields, 600))
        proxy.get(origin.url("/a"))
        alice = proxy.get(origin.url("/a"), [(who, "ALICE"), RELOAD], method=method)
        assert (alice.status, alice.body) == (200, DIGITS if method == "GET" else b"")
        assert origin.count("/a") == 2
        for client in ([], [("Cookie", "BOB")]):
            other = proxy.get(origin.url("/a"), client)
            assert (other.status, other.body) == (200, DIGITS)
            assert not mentions(other, "ALICE")

    @pytest.mark.parametrize(("who", "stored", "fields"), FOR_ONE_ONLY.values(), ids=FOR_ONE_ONLY)
    def test_who_asked_gets_it(
        self, origin: Origin, proxy: Proxy, who: str, stored: str, fields: Fields
    ) -> None:
        origin.put("/a", handler=partial(personal, who, stored, fields, 600))
        proxy.get(origin.url("/a"))
        alice = proxy.get(origin.url("/a"), [(who, "ALICE"), RELOAD])
        assert (alice.status, alice.body, alice.get("X-Account")) == (200, DIGITS, "of ALICE")
        assert proxy.get(origin.url("/a")).get("Cache-Control") == stored.format(age=600)
        assert origin.count("/a") == 2

    @pytest.mark.parametrize(("who", "stored", "fields"), PERSONAL.values(), ids=PERSONAL)
    def test_nor_do_those_who_wait_for_the_same(
        self, origin: Origin, make_proxy: MakeProxy, who: str, stored: str, fields: Fields
    ) -> None:
        proxy = make_proxy(threads=32)
        origin.put("/a", handler=partial(personal, who, stored, fields, 0))
        origin.put("/other", b"other", cache_control="max-age=600")
        url = origin.url("/a")
        proxy.get(url)
        gate = origin.gate("/a")
        names = ("ALICE", "BOB", "CAROL")
        clients = {name: proxy.download(url, [(who, name)]) for name in names}
        clients["ALICE"].open()
        gate.wait_reached()
        for name in names[1:]:
            clients[name].open()
        for _ in range(30):  # what came after them is answered, so they wait
            assert proxy.get(origin.url("/other")).body == b"other"
        gate.open()
        for name, client in clients.items():
            client.run()
            assert (client.status, client.received, client.complete) == (200, len(DIGITS), True)
            assert [other for other in names if mentions(client, other)] in ([name], [])
        if fields in (PRIVATE, NO_STORE, NOT_SHAREABLE):
            assert {name: client.get("X-Account") for name, client in clients.items()} == {
                name: f"of {name}" for name in names
            }
            assert {asked.get(who) for asked in origin.asked("/a")} == {None, *names}
        origin.put("/a", b"down", status=503)
        stranger = proxy.get(url)
        assert (stranger.status, stranger.body) == (200, DIGITS)
        assert not any(mentions(stranger, name) for name in names)
        if fields in (PRIVATE, NO_STORE, NOT_SHAREABLE):
            assert stranger.get("Cache-Control") == stored.format(age=0)

    @pytest.mark.parametrize(
        "shareable", ["public, max-age={}", "s-maxage={}", "max-age={}, must-revalidate"]
    )
    def test_what_may_be_shared_is(self, origin: Origin, proxy: Proxy, shareable: str) -> None:
        for age, told in ((0, "old"), (600, "new")):
            control = shareable.format(age)
            origin.put("/a", DIGITS, etag='"v1"', cache_control=control, headers=[("X-Told", told)])
            reply = proxy.get(origin.url("/a"), [("Authorization", "Basic c2VjcmV0")])
            assert (reply.body, reply.get("X-Told")) == (DIGITS, told)
        assert proxy.get(origin.url("/a")).get("X-Told") == "new"
        assert origin.count("/a") == 2


@pytest.mark.parametrize(
    "condition",
    [
        ("If-None-Match", "*"),
        ("If-None-Match", '"v1"'),
        ("If-Modified-Since", "Fri, 31 Dec 2100 00:00:00 GMT"),
        ("Range", "bytes=0-2"),
    ],
)
def test_a_post_gets_what_the_origin_answered(
    origin: Origin, proxy: Proxy, condition: tuple[str, str]
) -> None:
    headers = [("Content-Location", "/a")]
    lasting = {"etag": '"v1"', "last_modified": time.time() - 1000, "cache_control": "max-age=600"}
    origin.put("/a", b"created", headers=headers, **lasting)
    for _ in range(2):
        reply = proxy.get(origin.url("/a"), [condition], method="POST", body=b"make it")
        assert (reply.status, reply.body, reply.complete) == (200, b"created", True)
    assert [asked.method for asked in origin.asked("/a")] == ["POST", "POST"]


def test_a_head_that_is_served_stale_refreshes_by_get(origin: Origin, proxy: Proxy) -> None:
    origin.put("/a", b"old", etag='"v1"', cache_control="max-age=0, stale-while-revalidate=600")
    proxy.get(origin.url("/a"))
    origin.put("/a", b"newer", etag='"v2"', cache_control="max-age=600")
    head = proxy.get(origin.url("/a"), method="HEAD")
    assert (head.status, head.get("ETag")) == (200, '"v1"')
    origin.wait_for("/a", 2)
    # Asked so it neither refreshes anything itself nor takes what is stale.
    stored = [("Cache-Control", "only-if-cached, max-age=300")]
    until(lambda: proxy.get(origin.url("/a"), stored).body == b"newer")
    assert [asked.method for asked in origin.asked("/a")] == ["GET", "GET"]


PAGE = b"<b>0123456789"


def laconic(modified: float, asked: Asked) -> Resource | bytes:
    """To If-Range without what the asker has already (RFC 9110 section 15.3.7)."""
    policy = [("Content-Type", "text/html"), ("Content-Security-Policy", "default-src 'none'")]
    full = Resource(PAGE, last_modified=modified, cache_control="max-age=600", headers=policy)
    span = full.span(asked)
    if asked.get("If-Range") is None or span is None:
        return full
    first, stop = span
    head = (
        f"HTTP/1.1 206 Partial Content\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Range: bytes {first}-{stop - 1}/{len(PAGE)}\r\nContent-Length: {stop - first}\r\n"
        "Cache-Control: max-age=600\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + PAGE[first:stop]


class TestAnswersToIfRange:
    """They leave out fields, which those who ask otherwise have to get."""

    def test_one_client_resumes_and_another_asks(self, origin: Origin, proxy: Proxy) -> None:
        modified = time.time() - 10 * DAY
        origin.put("/a", handler=partial(laconic, modified))
        resumed = part(proxy, origin.url("/a"), "3-", ("If-Range", formatdate(modified, usegmt=True)))
        assert (resumed.status, resumed.body) == (206, PAGE[3:])
        other = part(proxy, origin.url("/a"), "4-6")
        assert (other.status, other.body) == (206, PAGE[4:7])
        assert other.get("Content-Type") == "text/html"
        assert other.get("Content-Security-Policy") == "default-src 'none'"

    def test_gaps_are_filled_once(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", handler=partial(laconic, time.time() - 10 * DAY))
        parts = ("0-2", b"<b>"), ("6-7", b"34"), (None, PAGE), ("9-10", b"67"), ("4-5", b"12"), (None, PAGE)
        for wanted, body in parts:
            reply = part(proxy, origin.url("/a"), wanted)
            assert reply.body == body
            assert reply.get("Content-Type") == "text/html"
            assert reply.get("Content-Security-Policy") == "default-src 'none'"
        asked = [one.get("Range") for one in origin.asked("/a")]
        assert asked[:3] == ["bytes=0-2", "bytes=6-7", "bytes=3-5"]
        assert asked[3:] in (["bytes=8-"], ["bytes=8-12"])


class TestVaryMiss:
    """`fwd=vary-miss`: responses are stored, and other fields selected them (RFC 9211 section 2.2)."""

    @pytest.mark.parametrize("headers", [[], [("Range", "bytes=5-6")]], ids=["whole", "part"])
    def test_stored_under_other_fields(self, origin: Origin, proxy: Proxy, headers: Fields) -> None:
        origin.put("/a", DIGITS, etag='"v1"', cache_control="max-age=600", headers=[("Vary", "X-Kind")])
        proxy.get(origin.url("/a"), [("X-Kind", "one")])
        assert forward(proxy.get(origin.url("/a"), [("X-Kind", "two"), *headers])) == "vary-miss"

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("etag", ['"v1"', None], ids=["strong", "no-validator"])
    def test_another_part_is_stored(
        self, origin: Origin, proxy: Proxy, etag: str | None, method: str
    ) -> None:
        origin.put("/a", DIGITS, etag=etag, cache_control="max-age=600")
        proxy.get(origin.url("/a"), [("Range", "bytes=0-1")])
        reply = proxy.get(origin.url("/a"), [("Range", "bytes=5-6")], method=method)
        assert forward(reply) != "vary-miss"

    def test_another_query_is_stored(self, origin: Origin, proxy: Proxy) -> None:
        headers = [("No-Vary-Search", 'params=("utm")')]
        origin.put("/a", DIGITS, cache_control="max-age=600", headers=headers)
        proxy.get(origin.url("/a?x=1"))
        assert forward(proxy.get(origin.url("/a?x=2"))) == "uri-miss"
