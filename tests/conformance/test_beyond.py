"""What newer versions of the public suite look at, and more of its kind, through two workers.

A response that is meant to be stale says so by its Age, so that nothing here waits for time to pass.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from itertools import count

import pytest
from harness import Proxy, Reply
from origin import Asked, Origin, Resource
from raw import Conversation, request

Line = tuple[str, str]
DAY = 86400


class Site:
    """An origin behind a proxy; every test has a path of its own."""

    def __init__(self, origin: Origin, cache: Proxy) -> None:
        self.origin, self.cache = origin, cache
        self._numbers = count(1)

    def path(self) -> str:
        return f"/{next(self._numbers)}"

    def get(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> Reply:
        return self.cache.get(self.origin.url(path), fields(*lines), method=method, body=body)

    def put(self, path: str, body: bytes, *lines: str, status: int = 200, etag: str | None = None) -> None:
        self.origin.put(path, body, status=status, headers=fields(*lines), etag=etag)

    def reuses(self, *lines: str, status: int = 200) -> bool:
        """Whether a response with these fields answers the next request too."""
        path = self.path()
        self.put(path, b"first", *lines, status=status)
        assert self.get(path).body == b"first"
        self.put(path, b"second", *lines, status=status)
        reply = self.get(path)
        assert reply.status == status
        return reply.body == b"first"


_DATE = re.compile(r"[A-Za-z]{3}, [0-9]{2} [A-Za-z]{3} [0-9]{4} [0-9:]{8}")


def fields(*lines: str) -> list[Line]:
    return [(name, value.strip()) for name, _colon, value in (line.partition(":") for line in lines)]


def in_seconds(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


def _named(value: object) -> str | None:
    """The lines without their dates: each process that runs tests has to name them equally."""
    lines = " | ".join(value) if isinstance(value, list | tuple) else value
    return _DATE.sub("DATE", lines) if isinstance(lines, str) else None


def from_cache(reply: Reply) -> bool:
    return (reply.get("Cache-Status") or "").partition("; ")[2].startswith("hit")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Origin() as origin, Proxy(tmp_path_factory.mktemp("beyond"), workers=2) as cache:
        yield Site(origin, cache)


LONG = "CDN-Cache-Control: max-age=3600"


class TestTargetedField:
    """CDN-Cache-Control (RFC 9213)."""

    @pytest.mark.parametrize(
        "lines",
        [
            [LONG],
            ["CDN-Cache-Control: max-age=2147483648"],
            ["CDN-Cache-Control: max-age=99999999999"],
            ["CDN-Cache-Control: foo, max-age=3600"],
            ["CDN-Cache-Control: max-age=3600;a=b, public;c"],
            ["CDN-Cache-Control: foo", LONG],
            ["CDN-Cache-Control: max-age=1, max-age=3600", "Age: 60"],
            [LONG, "Expires: Thu, 01 Jan 1970 00:00:00 GMT"],
            [LONG, "Expires: 0"],
            [LONG, "Cache-Control: max-age=0"],
            [LONG, "Cache-Control: no-store"],
            [LONG, "Cache-Control: private, no-cache"],
            [LONG, "Cache-Control: max-age=1", "Age: 60"],
            ["CDN-Cache-Control:", "Cache-Control: max-age=3600"],
            ["CDN-Cache-Control: no-store, &&&", "Cache-Control: max-age=3600"],
            ["CDN-Cache-Control: NO-STORE", "Cache-Control: max-age=3600"],
            ["CDN-Cache-Control: max-age=3600, no-store, must-understand"],
        ],
        ids=_named,
    )
    def test_reuse(self, site: Site, lines: list[str]) -> None:
        assert site.reuses(*lines)

    @pytest.mark.parametrize(
        "lines",
        [
            [LONG, "Age: 7200"],
            ["CDN-Cache-Control: max-age=0"],
            ["CDN-Cache-Control: max-age=0", f"Expires: {in_seconds(DAY)}"],
            ["CDN-Cache-Control: max-age=1", "Cache-Control: max-age=3600", "Age: 60"],
            ["CDN-Cache-Control: private", "Cache-Control: max-age=3600"],
            ["CDN-Cache-Control: no-cache", "Cache-Control: max-age=3600"],
            ["CDN-Cache-Control: no-store", "Cache-Control: public, max-age=3600"],
            ["CDN-Cache-Control: no-cache, max-age=3600", f"Expires: {in_seconds(DAY)}"],
            ["CDN-Cache-Control: max-age=3600, &&&", "Cache-Control: no-store"],
            ["CDN-Cache-Control: max-age=3600,", "Cache-Control: no-store"],
            ["CDN-Cache-Control: Max-Age=3600", "Cache-Control: no-store"],
            ["CDN-Cache-Control: max-age =3600", "Cache-Control: no-store"],
            ["CDN-Cache-Control: max-age= 3600", "Cache-Control: no-store"],
            ['CDN-Cache-Control: max-age="3600"', "Cache-Control: no-store"],
            ["CDN-Cache-Control: max-age=36.5", "Cache-Control: no-store"],
            ["CDN-Cache-Control: max-age", "Cache-Control: no-store"],
            [
                'CDN-Cache-Control: max-age="3600"',
                "Cache-Control: no-store",
                f"Last-Modified: {in_seconds(-DAY)}",
            ],
        ],
        ids=_named,
    )
    def test_no_reuse(self, site: Site, lines: list[str]) -> None:
        assert not site.reuses(*lines)

    def test_the_client_gets_what_the_origin_said(self, site: Site) -> None:
        path = site.path()
        site.put(path, b"body", LONG, "Cache-Control: max-age=1", "Expires: 0")
        for reply in (site.get(path), site.get(path)):
            assert [reply.get(name) for name in ("Cache-Control", "Expires")] == ["max-age=1", "0"]


class TestFreshness:
    """RFC 9111 sections 4.2, 5.1 and 5.2.2, as far as numbers go."""

    @pytest.mark.parametrize(
        ("lines", "reused"),
        [
            (["Age: 0", "Age: 7200"], True),
            (["Age: 7200", "Age: 0"], False),
            (["Age: 0, 7200"], True),
            (["Age: 7200, 0"], False),
            (["Age: 3599", "Age: abc"], True),
            (["Age: abc"], True),
            (["Age: -7200"], True),
            (["Age: 7200.0"], True),
            (["Age: 7200;a=b"], True),
            (["Age: 2147483647"], False),
            (["Age: 2147483648"], False),
            (["Age: 99999999999999999999"], False),
        ],
    )
    def test_age(self, site: Site, lines: list[str], reused: bool) -> None:
        assert site.reuses("Cache-Control: max-age=3600", *lines) is reused

    @pytest.mark.parametrize(
        ("lines", "reused"),
        [
            (["Cache-Control: max-age=3600, s-maxage=0"], False),
            (["Cache-Control: max-age=0, s-maxage=3600"], True),
            (["Cache-Control: max-age=0, S-MaxAge=3600"], True),
            (["Cache-Control: max-age=0", "Cache-Control: s-maxage=3600"], True),
            (["Cache-Control: s-maxage=3600", "Expires: 0"], True),
            (["Cache-Control: s-maxage=0", f"Expires: {in_seconds(DAY)}"], False),
            (["Cache-Control: max-age=3600, s-maxage=abc"], False),
            (["Cache-Control: max-age=3600, s-maxage"], False),
            (["Cache-Control: max-age=0, s-maxage=99999999999"], True),
            (["Cache-Control: max-age=99999999999", "Age: 2147483640"], True),
            (["Cache-Control: max-age=99999999999", "Age: 2147483648"], False),
            (["Cache-Control: max-age=-1", f"Last-Modified: {in_seconds(-30 * DAY)}"], False),
            ([f"Expires: {in_seconds(DAY)}"], True),
            ([f"Expires: {in_seconds(DAY)}", f"Date: {in_seconds(2 * DAY)}"], False),
            ([f"Expires: {in_seconds(DAY)}", "Cache-Control: max-age=0"], False),
            ([f"Expires: {in_seconds(DAY).lower()}"], True),
            ([f"Expires: {in_seconds(DAY).replace('GMT', 'EST')}"], False),
        ],
        ids=_named,
    )
    def test_lifetimes(self, site: Site, lines: list[str], reused: bool) -> None:
        assert site.reuses(*lines) is reused

    @pytest.mark.parametrize(
        ("status", "lines", "reused"),
        [
            *[(status, [], True) for status in (200, 203, 204, 404, 405, 410, 414, 501)],
            *[(status, [], False) for status in (201, 202, 302, 403, 500, 502, 503, 504, 599)],
            (299, ["Cache-Control: public"], True),
            (599, ["Cache-Control: public"], False),
            (302, ["Cache-Control: public"], True),
        ],
    )
    def test_heuristics(self, site: Site, status: int, lines: list[str], reused: bool) -> None:
        path = site.path()
        lines = [f"Last-Modified: {in_seconds(-100 * DAY)}", *lines]
        site.put(path, b"body", *lines, status=status)
        for _ in range(2):
            assert site.get(path).status == status
        assert site.origin.count(path) == (1 if reused else 2)

    @pytest.mark.parametrize(
        ("status", "directives", "reused"),
        [
            (200, "max-age=3600, no-store, must-understand", True),
            (404, "max-age=3600, no-store, must-understand", True),
            (200, "max-age=3600, no-store, Must-Understand", True),
            (599, "max-age=3600, no-store, must-understand", False),
            (599, "max-age=3600, must-understand", False),
            (299, "max-age=3600, must-understand", False),
            (299, "max-age=3600", True),
            (599, "max-age=3600", False),
            (200, "max-age=3600, no-store", False),
            (200, "max-age=3600, no-store, private, must-understand", False),
        ],
    )
    def test_must_understand(self, site: Site, status: int, directives: str, reused: bool) -> None:
        assert site.reuses(f"Cache-Control: {directives}", status=status) is reused

    def test_one_age_is_sent_and_grows_from_what_came(self, site: Site) -> None:
        path = site.path()
        site.put(path, b"body", "Cache-Control: max-age=3600", "Age: 30", "Age: 99")
        site.get(path)
        ages = [value for name, value in site.get(path).headers if name.lower() == "age"]
        assert len(ages) == 1
        assert 30 <= int(ages[0]) <= 40


OLD = ("Age: 100", 'ETag: "1"')


class TestStale:
    """RFC 9111 section 4.2.4 and RFC 5861; the response is 40 seconds past its lifetime from the start."""

    @pytest.mark.parametrize(
        ("directives", "wishes", "at_once"),
        [
            ("stale-while-revalidate=60", [], True),
            ("Stale-While-Revalidate=60", [], True),
            ("stale-while-revalidate=30", [], False),
            ("stale-while-revalidate=abc", [], False),
            ("stale-while-revalidate=60, must-revalidate", [], False),
            ("stale-while-revalidate=60, proxy-revalidate", [], False),
            ("stale-while-revalidate=60, s-maxage=60", [], False),
            ("stale-while-revalidate=60, no-cache", [], False),
            ("stale-while-revalidate=60", ["Cache-Control: no-cache"], False),
            ("foo", ["Cache-Control: max-stale"], True),
            ("foo", ["Cache-Control: max-stale=60"], True),
            ("foo", ["Cache-Control: max-stale=30"], False),
            ("foo", ["Cache-Control: max-stale=abc"], False),
            ("must-revalidate", ["Cache-Control: max-stale"], False),
        ],
    )
    def test_it_is_served_where_that_is_allowed(
        self, site: Site, directives: str, wishes: list[str], at_once: bool
    ) -> None:
        path = site.path()
        site.put(path, b"old", f"Cache-Control: max-age=60, {directives}", *OLD)
        site.get(path)
        site.put(path, b"new", "Cache-Control: max-age=60", 'ETag: "2"')
        reply = site.get(path, *wishes)
        assert reply.body == (b"old" if at_once else b"new")
        assert not at_once or int(reply.get("Age") or 0) >= 100

    def test_one_refresh_for_all(self, site: Site) -> None:
        path = site.path()
        site.put(path, b"old", "Cache-Control: max-age=60, stale-while-revalidate=60", *OLD)
        site.get(path)
        site.put(path, b"new", "Cache-Control: max-age=60", 'ETag: "2"')
        gate = site.origin.gate(path)
        assert {site.get(path).body for _ in range(10)} == {b"old"}
        gate.wait_reached()
        assert {site.get(path).body for _ in range(10)} == {b"old"}
        assert [asked.get("If-None-Match") for asked in site.origin.asked(path)] == [None, '"1"']
        gate.open()
        # The refreshed one comes into the store on its own time: each look is a request.
        for _ in range(1000):
            if site.get(path).body == b"new":
                break
        assert from_cache(site.get(path))
        assert site.origin.count(path) == 2

    @pytest.mark.parametrize(
        ("directives", "allowed"),
        [
            ("foo", True),
            ("stale-if-error=60", True),
            ("stale-if-error=30", False),
            ("must-revalidate", False),
            ("proxy-revalidate", False),
            ("s-maxage=60", False),
            ("no-cache", False),
        ],
    )
    @pytest.mark.parametrize("trouble", ["close", "503"])
    def test_it_stands_in_for_the_origin(
        self, site: Site, directives: str, allowed: bool, trouble: str
    ) -> None:
        path = site.path()
        site.put(path, b"old", f"Cache-Control: max-age=60, {directives}", *OLD)
        site.get(path)
        if trouble == "close":
            site.origin.put(path, handler=_hang_up)
        else:
            site.put(path, b"trouble", status=503)
        reply = site.get(path)
        assert (reply.status, reply.body == b"old") == (
            (200, True) if allowed else (503 if trouble == "503" else 502, False)
        )


class TestCollapsing:
    """RFC 9111 section 4: one answer is for many requests only where each of them may be given it."""

    @pytest.mark.parametrize(
        ("line", "wishes", "shared"),
        [
            ("Cache-Control: max-age=60", [], True),
            (f"Expires: {in_seconds(DAY)}", ["Cache-Control: max-age=60"], True),
            ("Cache-Control: max-age=0", [], False),
            ("Cache-Control: no-cache", [], False),
            ("Expires: 0", [], False),
            ("Cache-Control: max-age=60", ["Cache-Control: no-cache"], False),
            ("Cache-Control: max-age=60", ["Cache-Control: max-age=0"], False),
        ],
        ids=_named,
    )
    def test_who_comes_in_the_middle_of_it(
        self, site: Site, line: str, wishes: list[str], shared: bool
    ) -> None:
        path = site.path()
        site.put(path, b"0123456789", line, etag='"1"')
        gate = site.origin.gate(path, 5)
        first, second = (
            site.cache.download(site.origin.url(path), asked) for asked in ((), fields(*wishes))
        )
        first.open()
        try:
            first.read_head()
            gate.wait_reached()
            second.open()
            second.read_head()
            # Else the origin says whether what is arriving still holds; its bytes come once all the same.
            assert "collapsed" in (second.get("Cache-Status") or "")
            tags = [asked.get("If-None-Match") for asked in site.origin.asked(path)]
            assert tags == ([None] if shared else [None, '"1"'])
        finally:
            gate.open()
        assert [first.run().received, second.run().received] == [10, 10]


def _hang_up(_asked: Asked) -> Resource | bytes:
    return b""


@pytest.mark.parametrize("interim", [102, 103])
def test_interim_answers_pass_and_the_final_one_is_stored(site: Site, interim: int) -> None:
    path = site.path()
    early = b"HTTP/1.1 %d Wait\r\nLink: </style>; rel=preload\r\nX-Early: 1\r\n\r\n" % interim
    final = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nfinal"
    site.origin.put(path, handler=lambda _asked: early + final)
    asked = request(f"GET {site.origin.url(path)}")
    with Conversation(site.cache.address) as client:
        head = client.send(asked).head()
        assert (head.status, head.get("Link"), head.get("X-Early")) == (
            interim,
            "</style>; rel=preload",
            "1",
        )
        reply = client.reply()
        assert (reply.status, reply.body, reply.get("X-Early")) == (200, b"final", None)
        again = client.send(asked).reply()
        assert (again.status, again.body, from_cache(again)) == (200, b"final", True)


class TestVary:
    """RFC 9111 section 4.1."""

    def test_each_of_many_variants_is_kept(self, site: Site) -> None:
        def variant(asked: Asked) -> Resource | bytes:
            body = f"{asked.get('Foo')}/{asked.get('Bar')}".encode()
            return Resource(body, cache_control="max-age=60", headers=[("Vary", "bar, FOO")])

        path = site.path()
        site.origin.put(path, handler=variant)
        wanted = [(f"Foo: {foo}", f"Bar: {bar}") for foo in range(20) for bar in range(5)]
        for lines in wanted:
            site.get(path, *lines)
        for foo, bar in wanted:
            assert site.get(path, bar, foo).body.decode() == f"{foo[5:]}/{bar[5:]}"
        assert site.origin.count(path) == len(wanted)

    @pytest.mark.parametrize(
        ("stored", "asked", "reused"),
        [
            (["Foo: 1"], ["Foo: 1", "Other: 2"], True),
            (["Foo: 1"], ["Foo: 2"], False),
            (["Foo: 1"], [], False),
            ([], ["Foo: 1"], False),
            ([], ["Foo:"], False),
            ([], [], True),
            (["Foo: 1, 2"], ["Foo: 1", "Foo: 2"], True),
            (["Foo: 1,2"], ["Foo:  1,  2 "], True),
            (['Foo: "1,2"'], ['Foo: "1, 2"'], False),
            (["Foo: a"], ["Foo: A"], False),
            (["Foo: 1, 2"], ["Foo: 2, 1"], False),
            (["Accept-Language: en, de"], ["Accept-Language: DE ,en;q=1.0"], True),
            (["Accept-Language: en, de"], ["Accept-Language: fr;q=0.5, de;q=1.0"], False),
            (["Accept-Encoding: gzip, br"], ["Accept-Encoding: br,GZIP"], True),
            (["Accept-Encoding: gzip"], ["Accept-Encoding: gzip;q=0"], False),
        ],
    )
    def test_match(self, site: Site, stored: list[str], asked: list[str], reused: bool) -> None:
        path = site.path()
        vary = "Vary: Foo, Accept-Language, Accept-Encoding"
        site.put(path, b"body", "Cache-Control: max-age=60", vary)
        site.get(path, *stored)
        assert from_cache(site.get(path, *asked)) is reused


class TestMethods:
    """RFC 9110 section 9.3.3 and RFC 9111 section 4.4."""

    @pytest.mark.parametrize(
        ("lines", "method", "reused"),
        [
            (["Expires"], "GET", True),
            (["Expires"], "HEAD", True),
            (["Expires"], "POST", False),
            (["Last-Modified"], "GET", False),
            (["Cache-Control"], "GET", True),
        ],
    )
    def test_what_a_post_gave(self, site: Site, lines: list[str], method: str, reused: bool) -> None:
        path = site.path()
        values = {
            "Expires": in_seconds(DAY),
            "Last-Modified": in_seconds(-DAY),
            "Cache-Control": "max-age=60",
        }
        given = [f"{name}: {values[name]}" for name in lines]
        site.put(path, b"posted", f"Content-Location: {path}", *given)
        site.get(path, "Content-Type: text/plain", method="POST", body=b"x")
        assert from_cache(site.get(path, method=method)) is reused

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
    @pytest.mark.parametrize(("status", "kept"), [(200, False), (303, False), (404, True), (500, True)])
    def test_invalidation(self, site: Site, method: str, status: int, kept: bool) -> None:
        path = site.path()
        site.put(path, b"old", "Cache-Control: max-age=60")
        site.get(path)
        site.put(path, b"new", "Cache-Control: max-age=60", status=status)
        assert site.get(path, method=method, body=b"x").status == status
        assert from_cache(site.get(path)) is kept


class TestHead:
    """RFC 9111 section 4.3.5."""

    @pytest.mark.parametrize(
        ("body", "tag", "kept"), [(b"12345", '"1"', True), (b"12345", '"2"', False), (b"12", '"1"', False)]
    )
    def test_what_it_tells_of_the_stored_response(
        self, site: Site, body: bytes, tag: str, kept: bool
    ) -> None:
        path = site.path()
        site.put(path, b"12345", "Cache-Control: max-age=3600", "X: old", etag='"1"')
        site.get(path)
        site.put(path, body, "Cache-Control: max-age=3600", "X: new", etag=tag)
        assert site.get(path, "Cache-Control: no-cache", method="HEAD").get("X") == "new"
        reply = site.get(path)
        assert (from_cache(reply), reply.get("X"), reply.body) == (kept, "new", body)


class TestParts:
    """RFC 9111 sections 3.3 and 3.4."""

    FRESH = "Cache-Control: max-age=60"

    def test_a_range_of_the_whole_has_the_stored_fields(self, site: Site) -> None:
        path = site.path()
        site.put(path, b"0123456789", self.FRESH, "A: 1", etag='"1"')
        site.get(path)
        site.put(path, b"0123456789", self.FRESH, "A: 2", etag='"1"')
        reply = site.get(path, "Range: bytes=0-1")
        assert (reply.status, reply.body, reply.get("A")) == (206, b"01", "1")

    def test_the_newer_fields_are_those_of_the_completed_one(self, site: Site) -> None:
        path = site.path()
        site.put(path, b"0123456789", self.FRESH, "A: 1", "B: 1", etag='"1"')
        assert site.get(path, "Range: bytes=0-4").body == b"01234"
        site.put(path, b"0123456789", self.FRESH, "A: 2", etag='"1"')
        for reply in (site.get(path), site.get(path)):
            assert (reply.status, reply.body) == (200, b"0123456789")
            assert (reply.get("A"), reply.get("B"), reply.get("Content-Range")) == ("2", "1", None)
        assert [asked.get("Range") for asked in site.origin.asked(path)] == ["bytes=0-4", "bytes=5-"]

    @pytest.mark.parametrize(
        ("wanted", "body"),
        [("bytes=4-8", b"45678"), ("bytes=6-7", b"67"), ("bytes=6-", None), ("bytes=-2", None)],
    )
    def test_smaller_ranges_of_a_part(self, site: Site, wanted: str, body: bytes | None) -> None:
        path = site.path()
        site.put(path, b"0123456789", self.FRESH, "A: 1", etag='"1"')
        site.get(path, "Range: bytes=4-8")
        reply = site.get(path, f"Range: {wanted}")
        assert reply.status == 206
        assert from_cache(reply) is (body is not None)
        if body is not None:
            assert (reply.body, reply.get("A")) == (body, "1")


class TestFreshening:
    """RFC 9111 sections 3.2 and 4.3.4: what a 304 changes of the stored response."""

    @pytest.mark.parametrize(
        ("name", "old", "new"),
        [
            ("Test-Header", "a", "b"),
            ("Content-Foo", "a", "b"),
            ("Content-Location", "/a", "/b"),
            ("Content-Security-Policy", "default-src 'self'", "default-src cdn.example.com"),
            ("Content-Type", "text/plain", "text/html"),
            ("Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"),
            ("Cache-Control", "max-age=0", "max-age=3600"),
        ],
    )
    def test_fields_are_updated(self, site: Site, name: str, old: str, new: str) -> None:
        path = site.path()
        stale = [] if name == "Cache-Control" else ["Cache-Control: max-age=0"]
        site.put(path, b"body", f"{name}: {old}", "Kept: 1", *stale, etag='"1"')
        site.get(path)
        fresh = [] if name == "Cache-Control" else ["Cache-Control: max-age=3600"]
        site.put(path, b"body", f"{name}: {new}", *fresh, etag='"1"')
        for reply in (site.get(path), site.get(path)):
            assert (reply.status, reply.body, reply.get(name), reply.get("Kept")) == (
                200,
                b"body",
                new,
                "1",
            )
        assert from_cache(reply)

    @pytest.mark.parametrize(
        ("line", "kept"),
        [("Content-Length: 99", "4"), ("Content-Encoding: br", None), ("Content-Range: bytes 0-1/9", None)],
    )
    def test_what_tells_of_the_body_is_not(self, site: Site, line: str, kept: str | None) -> None:
        path = site.path()
        site.put(path, b"body", "Cache-Control: max-age=0", etag='"1"')
        site.get(path)
        not_modified = (
            f'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: max-age=60\r\n{line}\r\n\r\n'
        )
        site.origin.put(path, handler=lambda _asked: not_modified.encode())
        for reply in (site.get(path), site.get(path)):
            assert (reply.status, reply.body) == (200, b"body")
            assert reply.get(line.partition(":")[0]) == kept

    def test_another_strong_validator_changes_nothing(self, site: Site) -> None:
        replies = iter(
            [
                b'HTTP/1.1 304 Not Modified\r\nETag: "2"\r\nCache-Control: max-age=60\r\nX: new\r\n\r\n',
                b'HTTP/1.1 200 OK\r\nETag: "2"\r\nContent-Length: 3\r\n\r\nnew',
            ]
        )
        path = site.path()
        site.put(path, b"old", "Cache-Control: max-age=0", etag='"1"')
        site.get(path)
        site.origin.put(path, handler=lambda _asked: next(replies))
        assert site.get(path).body == b"new"

    def test_a_304_of_ours_has_the_entity_tag(self, site: Site) -> None:
        path = site.path()
        site.put(path, b"body", "Cache-Control: max-age=60", "Content-Location: /x", etag='"1"')
        site.get(path)
        later = f"If-Modified-Since: {in_seconds(-DAY)}"
        reply = site.get(path, 'If-None-Match: "0", W/"1"', later)
        assert (reply.status, reply.get("ETag"), reply.get("Content-Location")) == (304, '"1"', "/x")
        assert site.get(path, 'If-None-Match: "0"', later).status == 200
