"""What is reused, refreshed and invalidated across requests: variants, methods, groups, queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from harness import Proxy, Reply
from origin import Asked, Origin, Resource
from waiting import until

MakeProxy = Callable[..., Proxy]
Fields = Iterable[tuple[str, str]]


def cache_status(reply: Reply) -> str:
    return (reply.get("Cache-Status") or "").partition("; ")[2]


@pytest.fixture
def proxy(make_proxy: MakeProxy) -> Proxy:
    return make_proxy(workers=2)


class TestStaleWhileRevalidate:
    """RFC 5861 section 3: served at once, refreshed behind the client's back, once for all."""

    def test_it_is_served_at_once_and_refreshed(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", b"old", etag='"1"', cache_control="max-age=0, stale-while-revalidate=100")
        proxy.get(origin.url("/a"))
        origin.put("/a", b"new", etag='"2"', cache_control="max-age=100")
        gate = origin.gate("/a")
        stale = [proxy.get(origin.url("/a")) for _ in range(5)]
        assert {reply.body for reply in stale} == {b"old"}
        assert cache_status(stale[0]).startswith("hit; ttl=-")
        gate.wait_reached()
        gate.open()
        origin.wait_idle()
        until(lambda: proxy.get(origin.url("/a")).body == b"new")
        assert [asked.get("If-None-Match") for asked in origin.asked("/a")] == [None, '"1"']

    def test_a_304_refreshes_as_well(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", b"body", etag='"1"', cache_control="max-age=0, stale-while-revalidate=100")
        proxy.get(origin.url("/a"))
        origin.put("/a", b"body", etag='"1"', cache_control="max-age=100")
        proxy.get(origin.url("/a"))
        until(lambda: "ttl=9" in cache_status(proxy.get(origin.url("/a"))))
        assert origin.count("/a") == 2

    @pytest.mark.parametrize(
        ("cache_control", "asked"),
        [
            ("max-age=0, stale-while-revalidate=100, must-revalidate", []),
            ("max-age=0, stale-while-revalidate=100, no-cache", []),
            ("s-maxage=0, stale-while-revalidate=100", []),
            ("max-age=0, stale-while-revalidate=100", [("Cache-Control", "no-cache")]),
            ("max-age=0, stale-while-revalidate=100", [("Cache-Control", "max-age=5")]),
            ("max-age=0, stale-while-revalidate=0", []),
        ],
    )
    def test_where_it_does_not_apply(
        self, origin: Origin, proxy: Proxy, cache_control: str, asked: Fields
    ) -> None:
        origin.put("/a", b"old", etag='"1"', cache_control=cache_control)
        proxy.get(origin.url("/a"))
        origin.put("/a", b"new", etag='"2"', cache_control="max-age=100")
        assert proxy.get(origin.url("/a"), asked).body == b"new"

    def test_a_failing_origin_leaves_it_stale(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", b"old", etag='"1"', cache_control="max-age=0, stale-while-revalidate=100")
        proxy.get(origin.url("/a"))
        origin.stop()
        assert [proxy.get(origin.url("/a")).body for _ in range(3)] == [b"old"] * 3


class TestVariants:
    """Several responses of one URL (RFC 9111 sections 4.1 and 4.3.1)."""

    def test_the_tags_of_other_variants_are_sent_along(self, origin: Origin, proxy: Proxy) -> None:
        def by_language(asked: Asked) -> Resource | bytes:
            # French is not to be had, and gets English.
            language = "de" if asked.get("Accept-Language") == "de" else "en"
            return Resource(
                language.encode(),
                etag=f'"{language}"',
                cache_control="max-age=100",
                headers=[("Vary", "Accept-Language")],
            )

        origin.put("/a", handler=by_language)
        for language in ("de", "en"):
            assert proxy.get(origin.url("/a"), [("Accept-Language", language)]).body == language.encode()
        first = proxy.get(origin.url("/a"), [("Accept-Language", "fr")])
        again = proxy.get(origin.url("/a"), [("Accept-Language", "fr")])
        assert (first.status, first.body, again.body) == (200, b"en", b"en")
        assert cache_status(first).startswith("fwd=vary-miss; fwd-status=304")
        assert cache_status(again).startswith("hit")
        tags = [asked.get("If-None-Match") for asked in origin.asked("/a")]
        assert tags == [None, '"de"', '"en", "de"']

    def test_orders_that_mean_the_same(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", b"body", cache_control="max-age=100", headers=[("Vary", "Accept-Language")])
        for value in ("en, de", "DE,  en", "de;q=1.0, en", "en;q=1, de"):
            assert proxy.get(origin.url("/a"), [("Accept-Language", value)]).body == b"body"
        assert origin.count("/a") == 1
        proxy.get(origin.url("/a"), [("Accept-Language", "en;q=0.5, de")])
        proxy.get(origin.url("/a"), [("Accept-Language", "")])
        proxy.get(origin.url("/a"))
        assert origin.count("/a") == 4


class TestMethods:
    """HEAD, POST and QUERY."""

    def test_head_brings_the_stored_response_up_to_date(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", b"body", etag='"1"', cache_control="max-age=0", headers=[("X", "old")])
        proxy.get(origin.url("/a"))
        origin.put("/a", b"body", etag='"1"', cache_control="max-age=100", headers=[("X", "new")])
        assert proxy.get(origin.url("/a"), method="HEAD").get("X") == "new"
        reply = proxy.get(origin.url("/a"))
        assert (reply.body, reply.get("X")) == (b"body", "new")
        assert [asked.method for asked in origin.asked("/a")] == ["GET", "HEAD"]

    @pytest.mark.parametrize("etag", ['"2"', '"1"'], ids=["other-tag", "other-length"])
    def test_head_shows_that_it_is_outdated(self, origin: Origin, proxy: Proxy, etag: str) -> None:
        origin.put("/a", b"old", etag='"1"', cache_control="max-age=0, stale-if-error=100")
        proxy.get(origin.url("/a"))
        origin.put("/a", b"newer", etag=etag, cache_control="max-age=100")
        proxy.get(origin.url("/a"), method="HEAD")
        assert proxy.get(origin.url("/a")).body == b"newer"
        assert origin.asked("/a")[-1].get("If-None-Match") is None

    def test_a_post_can_give_what_a_get_would(self, origin: Origin, proxy: Proxy) -> None:
        headers = [("Content-Location", "/a")]
        origin.put("/a", b"posted", cache_control="max-age=100", headers=headers)
        assert proxy.get(origin.url("/a"), method="POST", body=b"x").body == b"posted"
        assert proxy.get(origin.url("/a")).body == b"posted"
        assert proxy.get(origin.url("/a"), method="POST", body=b"y").body == b"posted"
        assert [(asked.method, asked.body) for asked in origin.asked("/a")] == [
            ("POST", b"x"),
            ("POST", b"y"),
        ]

    @pytest.mark.parametrize(
        ("location", "cache_control", "status"),
        [
            (None, "max-age=100", 200),
            ("/b", "max-age=100", 200),
            ("/a", None, 200),
            ("/a", "max-age=9", 201),
        ],
        ids=["nowhere", "elsewhere", "no-freshness", "created"],
    )
    def test_other_posts_are_not_stored(
        self, origin: Origin, proxy: Proxy, location: str | None, cache_control: str | None, status: int
    ) -> None:
        headers = [("Content-Location", location)] if location else []
        origin.put("/a", b"posted", status=status, cache_control=cache_control, headers=headers)
        proxy.get(origin.url("/a"), method="POST", body=b"x")
        proxy.get(origin.url("/a"))
        assert [asked.method for asked in origin.asked("/a")] == ["POST", "GET"]

    def test_a_query_is_found_by_its_content(self, origin: Origin, proxy: Proxy) -> None:
        def echo(asked: Asked) -> Resource | bytes:
            return Resource(b"of " + asked.body, etag='"1"', cache_control="max-age=100")

        origin.put("/a", handler=echo)
        json, text = [("Content-Type", "application/json")], [("Content-Type", "text/plain")]
        wanted = [(b"one", json), (b"two", json), (b"one", text)]
        for body, headers in [*wanted, *wanted]:
            assert proxy.get(origin.url("/a"), headers, method="QUERY", body=body).body == b"of " + body
        assert proxy.get(origin.url("/a")).body == b"of "
        assert proxy.get(origin.url("/a")).body == b"of "
        assert [asked.method for asked in origin.asked("/a")] == ["QUERY"] * 3 + ["GET"]
        # A safe method: nothing of this was invalidated, and a POST invalidates it all.
        proxy.get(origin.url("/a"), method="POST", body=b"x")
        proxy.get(origin.url("/a"), json, method="QUERY", body=b"one")
        assert origin.count("/a") == 6

    def test_queries_are_collapsed(self, origin: Origin, make_proxy: MakeProxy) -> None:
        proxy = make_proxy(workers=2, threads=32)
        origin.put("/a", b"body", cache_control="max-age=100")
        gate = origin.gate("/a")
        clients = [proxy.download(origin.url("/a"), method="QUERY", body=b"q").start() for _ in range(10)]
        gate.wait_reached()
        gate.open()
        assert all(client.join().complete for client in clients)
        assert origin.count("/a") == 1

    def test_a_query_too_long_to_be_a_key_is_passed_whole(self, origin: Origin, proxy: Proxy) -> None:
        body = b"0123456789abcdef" * (3 << 16)
        origin.put("/a", b"body", cache_control="max-age=100")
        for _ in range(2):
            assert proxy.get(origin.url("/a"), method="QUERY", body=body).body == b"body"
        assert [len(asked.body) for asked in origin.asked("/a")] == [len(body)] * 2


class TestGroups:
    """RFC 9875."""

    def put(self, origin: Origin, path: str, groups: str) -> None:
        headers = [("Cache-Groups", groups)]
        origin.put(path, path.encode(), cache_control="max-age=100", headers=headers)

    def test_an_answer_invalidates_a_group(self, origin: Origin, proxy: Proxy) -> None:
        self.put(origin, "/a", '"one", "two"')
        self.put(origin, "/b", '"two"')
        self.put(origin, "/c", '"three"')
        origin.put("/change", b"done", headers=[("Cache-Group-Invalidation", '"two"')])
        for path in "/a", "/b", "/c":
            proxy.get(origin.url(path))
        proxy.get(origin.url("/change"))  # a safe method changes nothing
        assert [cache_status(proxy.get(origin.url(path)))[:3] for path in ("/a", "/b", "/c")] == ["hit"] * 3
        proxy.get(origin.url("/change"), method="POST", body=b"x")
        found = [cache_status(proxy.get(origin.url(path)))[:3] for path in ("/a", "/b", "/c")]
        assert found == ["fwd", "fwd", "hit"]


class TestNoVarySearch:
    """Queries that differ where the response says that it does not matter."""

    @pytest.mark.parametrize(
        ("field", "stored", "asked", "hit"),
        [
            ('params=("utm")', "/a?x=1&utm=mail", "/a?x=1", True),
            ('params=("utm")', "/a?x=1&utm=mail", "/a?x=1&utm=web", True),
            ('params=("utm")', "/a?x=1&utm=mail", "/a?x=2&utm=mail", False),
            ("params", "/a?x=1", "/a", True),
            ("key-order", "/a?x=1&y=2", "/a?y=2&x=1", True),
            ("key-order=?0", "/a?x=1&y=2", "/a?y=2&x=1", False),
            ("nonsense=(", "/a?x=1&utm=mail", "/a?x=1", False),
        ],
    )
    def test_reuse(
        self, origin: Origin, proxy: Proxy, field: str, stored: str, asked: str, hit: bool
    ) -> None:
        origin.put("/a", b"body", cache_control="max-age=100", headers=[("No-Vary-Search", field)])
        proxy.get(origin.url(stored))
        assert proxy.get(origin.url(asked)).body == b"body"
        assert origin.count("/a") == (1 if hit else 2)


def test_authorization_is_stored_only_where_it_may_be_shared(origin: Origin, proxy: Proxy) -> None:
    who = [("Authorization", "Basic c2VjcmV0")]
    for cache_control, count in (("max-age=100", 2), ("max-age=100, public", 1), ("s-maxage=100", 1)):
        path = f"/{count}{len(cache_control)}"
        origin.put(path, b"body", cache_control=cache_control)
        for _ in range(2):
            proxy.get(origin.url(path), who)
        assert origin.count(path) == count


def test_vary_that_comes_only_with_an_origin(origin: Origin, proxy: Proxy) -> None:
    def handler(asked: Asked) -> Resource:
        site = asked.get("Origin")
        fields = [("Vary", "Origin"), ("Access-Control-Allow-Origin", site)] if site else []
        return Resource(b"body", etag='"1"', cache_control="max-age=600", headers=fields)

    origin.put("/a", handler=handler)
    with_origin = [("Origin", "http://site.example")]
    proxy.get(origin.url("/a"), with_origin)
    proxy.get(origin.url("/a"))  # newer, and without Vary it would be for all
    for fields in (with_origin, []):
        for _turn in range(2):
            reply = proxy.get(origin.url("/a"), fields)
            site = dict(fields).get("Origin")
            assert reply.get("Access-Control-Allow-Origin") == site
    assert origin.count("/a") == 2


def test_a_resource_that_varies_no_more(origin: Origin, proxy: Proxy) -> None:
    german = [("Accept-Language", "de")]
    origin.put("/a", b"de", etag='"1"', cache_control="max-age=0", headers=[("Vary", "Accept-Language")])
    proxy.get(origin.url("/a"), german)
    origin.put("/a", b"all", etag='"2"', cache_control="max-age=600")
    assert [proxy.get(origin.url("/a"), german).body for _ in range(3)] == [b"all"] * 3
    assert origin.count("/a") == 2
