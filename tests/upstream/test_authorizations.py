"""Which requests get which of the cache's own credentials, and when a token is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted import Scripted, get, upstream

from pyproxycache.errors import UpstreamUnreachable
from pyproxycache.facts import Facts
from pyproxycache.messages import Head, Headers, OwnAccess, Request
from pyproxycache.rules.challenges import demanded
from pyproxycache.upstream.authorizations import Ask, Authorizations, UpstreamCredentials
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.url import Url

BASE = Url("https", "registry.test", 443, "/below/")
CHALLENGE = Head(
    401, "", Headers([("WWW-Authenticate", 'Bearer realm="https://t.test/token",service="s"')])
)


def request(path: str, space: str | None = None, *fields: tuple[str, str]) -> Request:
    url = Url("https", "registry.test", 443, path)
    return Request("GET", url, Headers(fields), access=OwnAccess(BASE, space))


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        (Url("https", "registry.test", 443, "/below/a"), True),
        (Url("https", "registry.test", 443, "/below/"), True),
        (Url("https", "registry.test", 443, "/below/a..b/..c"), True),
        (Url("https", "registry.test", 443, "/below/a?x=/../"), True),
        (Url("https", "registry.test", 443, "/below"), False),
        (Url("https", "registry.test", 443, "/belowed/a"), False),
        (Url("https", "registry.test", 443, "/"), False),
        (Url("https", "registry.test", 8443, "/below/a"), False),
        (Url("http", "registry.test", 443, "/below/a"), False),
        (Url("https", "other.test", 443, "/below/a"), False),
        (Url("https", "registry.test", 443, "/below/../a"), False),
        (Url("https", "registry.test", 443, "/below/a/.."), False),
        (Url("https", "registry.test", 443, "/below/%2e%2E/a"), False),
        (Url("https", "registry.test", 443, "/below/..%2fa"), False),
        (Url("https", "registry.test", 443, "/below/a%2F..%2f..%2Fa"), False),
        (Url("https", "registry.test", 443, "/below/..\\a"), False),
        (Url("https", "registry.test", 443, "/below\\..\\a"), False),
        (Url("https", "registry.test", 443, "/below/..;x/a"), False),
    ],
)
def test_what_is_below_an_upstream(url: Url, covered: bool) -> None:
    assert OwnAccess(BASE).covers(url) is covered


@pytest.mark.parametrize(
    ("credentials", "space", "sent"),
    [
        ("Basic bWU6", None, "Basic bWU6"),
        ("Bearer abc", None, "Bearer abc"),
        ("Bearer abc", "a", "Bearer abc"),
        # A registry is told name and password by its token server, or once it asks for them.
        ("Basic bWU6", "a", ""),
        ("", None, ""),
    ],
)
def test_what_is_sent_at_once(credentials: str, space: str | None, sent: str) -> None:
    given = {BASE: UpstreamCredentials(credentials)} if credentials else {}
    authorizations = Authorizations(given, demanded)
    assert authorizations.known(request("/below/a", space)) == sent
    assert authorizations.known(request("/a", space)) == ""
    assert authorizations.known(request("/below/a", space, ("Authorization", "mine"))) == ""
    assert "bWU6" not in repr(UpstreamCredentials(credentials))


def refused(_url: Url, _authorization: str, _patience: float) -> Exchange:
    raise UpstreamUnreachable("nobody is there")


def test_basic_where_it_is_asked_for() -> None:
    authorizations = Authorizations({BASE: UpstreamCredentials("Basic bWU6")}, demanded)
    head = Head(401, "", Headers([("WWW-Authenticate", 'Basic realm="x"')]))
    asking = request("/below/a", "a")
    assert authorizations.asked_for(asking, "", Head(404), refused) == ""
    assert authorizations.asked_for(asking, "", head, refused) == "Basic bWU6"
    assert authorizations.known(asking) == "Basic bWU6"
    assert authorizations.known(request("/below/b", "b")) == ""
    assert authorizations.asked_for(asking, "Basic bWU6", head, refused) == ""
    assert authorizations.known(asking) == ""


def through(origin: Scripted, asked: list[str]) -> Ask:
    """Asks the origin, whatever the URL is, and notes with which Authorization."""
    client = upstream()

    def ask(_url: Url, authorization: str, _patience: float) -> Exchange:
        asked.append(authorization)
        return client.send(get(origin.url()), Facts())

    return ask


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_a_failure_is_that_of_all_who_wait() -> None:
    """One asks, and none of the others asks the failing server once more."""
    authorizations = Authorizations({}, demanded)
    begun, go_on, asked = threading.Event(), threading.Event(), []

    def ask(url: Url, authorization: str, patience: float) -> Exchange:
        asked.append(url)
        begun.set()
        go_on.wait(10)
        return refused(url, authorization, patience)

    def attempt(_number: int) -> str:
        try:
            return authorizations.asked_for(request("/below/a", "a"), "", CHALLENGE, ask)
        except UpstreamUnreachable:
            return "failed"

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(attempt, 0)
        begun.wait(10)
        others = [threads.submit(attempt, number) for number in range(7)]
        go_on.set()
        assert first.result() == "failed"
        assert {one.result() for one in others} <= {"", "failed"}
    assert authorizations.known(request("/below/a", "a")) == ""


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b'{"token": "t"}', "t"),
        (b'{"access_token": "a.b-c", "expires_in": "soon"}', "a.b-c"),
        (b'{"token": "t", "expires_in": 1e300}', "t"),
        (b'{"token": "t", "expires_in": 1' + b"0" * 400 + b"}", "t"),
        (b'{"token": "t", "expires_in": -1, "more": [[[]]]}', "t"),
    ],
)
def test_tokens(body: bytes, token: str) -> None:
    asked: list[str] = []
    authorizations = Authorizations({BASE: UpstreamCredentials("Basic bWU6")}, demanded)
    with Scripted([answer(body)]) as origin:
        ask = through(origin, asked)
        assert authorizations.asked_for(request("/below/a", "a"), "", CHALLENGE, ask) == f"Bearer {token}"
    assert authorizations.known(request("/below/x", "a")) == f"Bearer {token}"
    assert authorizations.known(request("/below/a", "b")) == ""
    assert asked == ["Basic bWU6"]
