"""A reverse proxy tells its origin of the client, and lets no client speak for another."""

from collections.abc import Callable

import pytest
from harness import Proxy, Reply
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]


def page(asked: Asked) -> Resource:
    """As applications do: with absolute links of what the proxy says of itself."""
    link = f"{asked.get('X-Forwarded-Proto')}://{asked.get('X-Forwarded-Host')}/"
    return Resource(link.encode(), cache_control="max-age=600", etag=f'"{link}"')


@pytest.fixture
def site(origin: Origin) -> Origin:
    origin.put("/page", handler=page)
    return origin


def reverse(make_proxy: MakeProxy, site: Origin, **forwarded: object) -> Proxy:
    config = {"forwarded": forwarded} if forwarded else {}
    return make_proxy(workers=2, config=config, arguments=["--upstream", site.url()])


def asked_as(proxy: Proxy, host: str, *fields: tuple[str, str]) -> Reply:
    return proxy.get("/page", [("Host", host), *fields])


def test_the_origin_is_told(make_proxy: MakeProxy, site: Origin) -> None:
    proxy = reverse(make_proxy, site)
    asked_as(proxy, "front.example:8080", ("X-Forwarded-For", "1.2.3.4"))
    (asked,) = site.requests
    assert asked.get("Host") == f"127.0.0.1:{site.port}"
    assert asked.get("X-Forwarded-For") == "127.0.0.1"
    assert asked.get("X-Forwarded-Host") == "front.example:8080"
    assert asked.get("X-Forwarded-Proto") == "http"
    assert asked.get("Forwarded") == 'for=127.0.0.1;host="front.example:8080";proto=http'


def test_no_host_is_anothers(make_proxy: MakeProxy, site: Origin) -> None:
    """What an origin wrote for one host is given to no other, from the store and from memory."""
    proxy = reverse(make_proxy, site)
    for _ in range(4):
        for host in ("evil.example", "front.example"):
            assert asked_as(proxy, host).body == f"http://{host}/".encode()
    assert site.count("/page") == 2


def test_a_clients_own_word_changes_nothing(make_proxy: MakeProxy, site: Origin) -> None:
    for trust in ([], ["192.0.2.0/24"]):
        proxy = reverse(make_proxy, site, trust=trust)
        for _ in range(3):
            for field in ("X-Forwarded-Host", "X-Forwarded-Proto"):
                assert asked_as(proxy, "front", (field, "evil")).body == b"http://front/"
            said = ("Forwarded", "host=evil;proto=https")
            assert asked_as(proxy, "front", said).body == b"http://front/"
        names = "X-Forwarded-Host, X-Forwarded-Proto, Forwarded"  # as if they were for this hop alone
        assert asked_as(proxy, "other", ("Connection", names)).body == b"http://other/"
        assert asked_as(proxy, "other").body == b"http://other/"
        assert asked_as(proxy, "front").body == b"http://front/"


def test_a_trusted_proxys_word_counts(make_proxy: MakeProxy, site: Origin) -> None:
    proxy = reverse(make_proxy, site, trust=["127.0.0.1"])
    ways = {
        b"https://site/": [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "site")],
        b"https://other/": [("Forwarded", "for=1.1.1.1;host=other;proto=https")],
        b"http://front/": [],
    }
    for _ in range(4):
        for body, fields in ways.items():
            assert asked_as(proxy, "front", *fields).body == body
    assert site.count("/page") == 3


def test_none_is_sent(make_proxy: MakeProxy, site: Origin) -> None:
    given = [("X-Forwarded-Host", "evil"), ("X-Forwarded-For", "1.1.1.1"), ("Forwarded", "for=1.1.1.1")]
    reverse(make_proxy, site, send=False).get("/page", given)
    make_proxy().get(site.url("/page"))
    for asked in site.requests:
        assert not {name.lower() for name, _value in asked.headers} & {
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        }


def test_a_forward_proxy_that_is_told_to(make_proxy: MakeProxy, site: Origin) -> None:
    proxy = make_proxy(config={"forwarded": {"send": True}})
    for way in (site.url("/page"), f"/{site.url('/page')}", f"/api/v1/fetch/?url={site.url('/page')}"):
        site.forget()
        proxy.get(way, [("Cache-Control", "no-cache")])
        assert site.requests[0].get("X-Forwarded-For") == "127.0.0.1"


OVERRIDING = [
    ("X-Forwarded-Host", "evil"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "444"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Original-URL", "/evil"),
    ("X-Rewrite-Url", "/evil"),
    ("X-Host", "evil"),
    ("X-HTTP-Method-Override", "POST"),
    ("Forwarded", "for=192.0.2.1;host=evil"),
]


@pytest.mark.parametrize("way", ["{}", "/{}", "/api/v1/fetch/?url={}", "reverse", "trusted"])
def test_what_makes_an_origin_answer_for_another_url_poisons_nothing(
    make_proxy: MakeProxy, origin: Origin, way: str
) -> None:
    """Origins that read these seldom name them in Vary: the answer is only for who sends the same."""

    def echo(asked: Asked) -> Resource:
        found = [asked.get(name) for name, _value in OVERRIDING]
        return Resource(repr(found).encode(), cache_control="max-age=600", etag='"one"')

    origin.put("/echo", handler=echo)
    is_reverse = way in ("reverse", "trusted")
    config = {"forwarded": {"send": False, "trust": ["127.0.0.0/8"]}} if way == "trusted" else {}
    proxy = make_proxy(config=config, arguments=["--upstream", origin.url()] if is_reverse else [])
    target = "/echo" if is_reverse else way.format(origin.url("/echo"))
    for _ in range(3):
        for field in [*OVERRIDING, ("Forwarded", "for=192.0.2.1;HOST=EVIL, for=192.0.2.2")]:
            first = proxy.get(target, [field])
            assert first.status == 200
        plain = proxy.get(target)
        assert not [word for word in (b"evil", b"POST", b"444") if word in plain.body]
    # To a reverse proxy only those before it may say for which address they ask.
    assert origin.count("/echo") == (2 if way == "reverse" else len(OVERRIDING) + 1)
