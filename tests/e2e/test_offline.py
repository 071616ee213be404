"""`fetch.offline`: what is stored is served at any age, no origin is asked, and the rest is 504."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Proxy
from origin import Origin

CONFIG = {"fetch": {"offline": True}}


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as one:
        one.put(
            "/stale",
            b"from long ago",
            headers=[("Cache-Control", "max-age=0, must-revalidate"), ("ETag", '"1"')],
        )
        one.put("/fresh", b"of today", headers=[("Cache-Control", "max-age=600")])
        one.put("/missing", b"never asked for")
        yield one


def test_the_store_alone_answers(tmp_path: Path, origin: Origin) -> None:
    with Proxy(tmp_path, workers=2) as proxy:
        for path in ("/stale", "/fresh"):
            assert proxy.get(origin.url(path)).status == 200
        origin.forget()
        accepted = origin.accepted
        proxy.configure(CONFIG)
        proxy.command += ["-c", str(proxy.config_file)]
        proxy.restart()
        for path, body in (("/stale", b"from long ago"), ("/fresh", b"of today")):
            for lines in ([], [("Cache-Control", "no-cache")], [("Cache-Control", "max-age=0")]):
                answer = proxy.get(origin.url(path), lines)
                assert (answer.status, answer.body) == (200, body)
                assert "; hit" in (answer.get("Cache-Status") or "")
        assert proxy.get(f"/{origin.url('/stale')}").body == b"from long ago"
        missing = proxy.get(origin.url("/missing"))
        assert (missing.status, missing.get("Content-Type")) == (504, "text/plain; charset=utf-8")
        assert f"{origin.url('/missing')} is not stored, and this cache is offline".encode() in missing.body
        assert proxy.get(origin.url("/missing"), method="POST", body=b"x").status == 504
        with socket.create_connection(proxy.address) as client:
            client.sendall(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 504")
        assert (origin.requests, origin.accepted) == ([], accepted)


def test_variants_for_other_clients(tmp_path: Path, origin: Origin) -> None:
    """Clients of one index accept the same in other words, and its origin varies on them."""
    fields = [("Content-Type", "application/json"), ("Vary", "Accept"), ("Cache-Control", "max-age=600")]
    origin.put("/index", b"{}", headers=fields)
    origin.put("/page", b"for one", headers=[("Vary", "Cookie"), ("Cache-Control", "max-age=600")])
    with Proxy(tmp_path) as proxy:
        proxy.get(origin.url("/index"), [("Accept", "application/json, text/html;q=0.1")])
        proxy.get(origin.url("/page"), [("Cookie", "a=b")])
        proxy.configure(CONFIG)
        proxy.restart()
        for _ in range(2):
            for accept in ("application/json", "application/json, text/html;q=0.2", "*/*"):
                answer = proxy.get(origin.url("/index"), [("Accept", accept)])
                assert (answer.status, answer.body) == (200, b"{}")
            assert proxy.get(origin.url("/index"), [("Accept", "text/html")]).status == 504
            assert proxy.get(origin.url("/page"), [("Cookie", "a=c")]).status == 504
            assert proxy.get(origin.url("/page"), [("Cookie", "a=b")]).body == b"for one"
