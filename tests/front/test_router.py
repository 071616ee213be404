"""Which handler a request goes to, by its method, its target and what it asks for."""

from __future__ import annotations

import io
import re

import pytest

from pyproxycache.errors import BadRequest, NotImplementedHere
from pyproxycache.facts import Facts
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.ingress import PLAIN, Ingress, redirected_from
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local, Wanted, Way
from pyproxycache.front.router import Handlers, Router
from pyproxycache.messages import Headers
from pyproxycache.serving.responses import from_text
from pyproxycache.steps import Steps, at_once, finished
from pyproxycache.url import Authority, Url

BELOW = Url("https", "below", 443, "/base")
UPGRADE = (("Connection", "upgrade"), ("Upgrade", "websocket"))


class Named:
    """Answers with its name and its target."""

    def __init__(self, name: str) -> None:
        self._name = name

    def answer(
        self, _received: RawRequest, target: Wanted | Local | Authority, _facts: Facts
    ) -> Steps[Answered]:
        shown = target.url if isinstance(target, Wanted) else target
        shown = shown.path if isinstance(shown, Local) else shown
        return at_once(lambda: Answered(from_text(200, f"{self._name} {shown}"), is_of_cache=False))


FORWARD = Router(
    Handlers(
        {Way.PROXY: Named("proxy"), Way.PREFIX: Named("prefix"), Way.INSTEAD: Named("instead")},
        purge=Named("purge"),
        own=((re.compile("/api/.*"), Named("own")),),
        elsewhere=Named("pages"),
        upgrades={Way.PROXY: Named("upgrade"), Way.INSTEAD: Named("upgrade")},
        connect=Named("connect"),
    ),
    None,
)
REVERSE = Router(
    Handlers(
        {Way.REVERSE: Named("reverse")},
        purge=Named("purge"),
        own=(),
        elsewhere=Named("pages"),
        upgrades={Way.REVERSE: Named("upgrade")},
    ),
    BELOW,
)


def asked(router: Router, line: str, *fields: tuple[str, str], ingress: Ingress = PLAIN) -> str:
    method, target = line.split(" ")
    given = (("Host", "cache"), *fields)
    received = RawRequest(
        method, target, (1, 1), Headers(given), "127.0.0.1", io.BytesIO(), ingress=ingress
    )
    body = finished(router.answer(received, Facts())).response.body
    return b"".join(bytes(piece) for piece in body).decode().strip()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "fields", "answered"),
    [
        ("GET http://h/a", (), "proxy http://h/a"),
        ("GET /http://h/a", (), "prefix http://h/a"),
        ("GET /api/x", (), "own /api/x"),
        ("GET /nowhere", (), "pages /nowhere"),
        ("PURGE http://h/a", (), "purge http://h/a"),
        ("PURGE /http://h/a", UPGRADE, "purge http://h/a"),
        ("GET http://h/a", UPGRADE, "upgrade http://h/a"),
        ("POST http://h/a", UPGRADE, "proxy http://h/a"),
        ("GET /http://h/a", UPGRADE, "prefix http://h/a"),
        ("GET /api/x", UPGRADE, "own /api/x"),
        ("CONNECT H:443", (), "connect h:443"),
        ("CONNECT [::1]:80", UPGRADE, "connect [::1]:80"),
    ],
)
def test_of_a_forward_proxy(line: str, fields: tuple[tuple[str, str], ...], answered: str) -> None:
    assert asked(FORWARD, line, *fields) == answered


@pytest.mark.parametrize(
    ("line", "fields", "answered"),
    [
        ("GET /a", (), "reverse https://below/base/a"),
        ("GET /api/x", (), "reverse https://below/base/api/x"),
        ("GET /a", UPGRADE, "upgrade https://below/base/a"),
        ("PURGE /a", (), "purge https://below/base/a"),
    ],
)
def test_of_a_reverse_proxy(line: str, fields: tuple[tuple[str, str], ...], answered: str) -> None:
    assert asked(REVERSE, line, *fields) == answered


@pytest.mark.parametrize("target", ["h", "h:0", "/h:443", "http://h:443/", "*", "u@h:443"])
def test_a_tunnel_needs_an_end(target: str) -> None:
    with pytest.raises(BadRequest):
        asked(FORWARD, f"CONNECT {target}")


def test_a_reverse_proxy_has_no_tunnels() -> None:
    with pytest.raises(NotImplementedHere):
        asked(REVERSE, "CONNECT h:443")


@pytest.mark.parametrize(
    ("line", "fields", "answered"),
    [
        ("GET /a", (), "instead http://cache/a"),
        ("GET /api/x", (), "instead http://cache/api/x"),
        ("GET /http://h/a", (), "instead http://cache/http://h/a"),
        ("PURGE /a", (), "instead http://cache/a"),
        ("GET http://h/a", (), "instead http://h/a"),
        ("GET /a", UPGRADE, "upgrade http://cache/a"),
        ("OPTIONS *", (), "instead http://cache*"),
    ],
)
def test_nothing_of_the_cache_itself_is_reached_by_a_redirected_connection(
    line: str, fields: tuple[tuple[str, str], ...], answered: str
) -> None:
    ingress = redirected_from(Authority("192.0.2.1", 80))
    assert asked(FORWARD, line, *fields, ingress=ingress) == answered


def test_a_redirected_connection_in_tls_is_a_tunnel_to_where_it_was_made() -> None:
    end = Authority("2001:db8::1", 443)
    assert asked(FORWARD, f"CONNECT {end}", ingress=redirected_from(end, "")) == f"connect {end}"
    with pytest.raises(NotImplementedHere):
        asked(FORWARD, "CONNECT h:443", ingress=redirected_from(end))
