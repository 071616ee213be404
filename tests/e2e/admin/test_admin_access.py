"""Who may ask at the admin listener: others are refused, whatever they send and wherever they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from asked_admin import BEARER, TOKEN, Admin, config_with, reserved, token_file
from harness import Proxy

MakeProxy = Callable[..., Proxy]

HOSTILE = [
    b"",
    b"\r\n\r\n",
    b"GET /metrics\r\n\r\n",
    b"GET http://origin.example/ HTTP/1.1\r\nHost: h\r\n\r\n",
    b"CONNECT origin.example:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    b"POST /purge?all=yes HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nall=yes",
    b"GET /" + b"x" * 100_000,
    b"\x16\x03\x01\x02\x00\x01\x00",
]


def test_only_the_token_opens_and_is_shown_nowhere(make_proxy: MakeProxy, tmp_path: Path) -> None:
    with reserved() as address:
        proxy = make_proxy(config=config_with(address, token=token_file(tmp_path)))
        asked = Admin(proxy, address)
        for fields in ([], [f"{BEARER}x"], ["Authorization: Bearer"], [f"Authorization: Basic {TOKEN}"]):
            reply = asked.ask("GET /metrics", *fields)
            assert (
                reply.status,
                reply.get(
                    "WWW-Authenticate",
                ),
            ) == (
                401,
                'Bearer realm="pyproxycache admin"',
            )
        assert asked.ask("GET /metrics", BEARER, "Host: any.example").status == 200
        shown = asked.ask("GET /config", BEARER).body.decode()
        assert "token: ${file:" in shown
        assert TOKEN not in shown + proxy.log()


def test_pages_of_other_sites_and_other_names_are_refused(make_proxy: MakeProxy) -> None:
    with reserved() as address:
        asked = Admin(make_proxy(config=config_with(address, hosts="cache.lan")), address)
        for host in ("127.0.0.1", "localhost:9128", "[::1]", "cache.lan", "CACHE.LAN.:1"):
            assert asked.ask("GET /health/live", f"Host: {host}").status == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil", "x.cache.lan", ""):
            assert asked.ask("GET /health/live", f"Host: {host}").status == 403
        for field in ("Origin: http://127.0.0.1", "Origin: null", "Sec-Fetch-Site: cross-site"):
            assert asked.ask("POST /purge?all=yes", field).status == 403


def test_other_networks_and_clients_ports_lead_nowhere(make_proxy: MakeProxy) -> None:
    with reserved() as address, reserved() as other:
        asked = Admin(make_proxy(config=config_with(address, allow="192.0.2.0/24")), address)
        assert asked.ask("GET /metrics").status == 403
        proxy = make_proxy(config=config_with(other))
        assert b"pyproxycache_requests" not in proxy.get("/metrics").body
        assert proxy.get(f"http://{other[0]}:{other[1]}/metrics").status == 508


def test_what_is_no_plain_request_is_refused(make_proxy: MakeProxy) -> None:
    with reserved() as address:
        asked = Admin(make_proxy(config=config_with(address)), address)
        for raw in HOSTILE:
            assert asked.says(raw)[:12] in (b"", b"HTTP/1.1 400"), raw[:60]
        assert asked.ask("GET /health/live").status == 200
        assert "Traceback" not in asked.proxy.log()
