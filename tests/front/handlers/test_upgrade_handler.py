"""Which requests for another protocol are passed through."""

from __future__ import annotations

import io

import pytest

from pyproxycache.front.handlers.upgrade import wanted_protocols
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Headers

Fields = tuple[tuple[str, str], ...]


def asking(method: str, version: tuple[int, int], fields: Fields) -> RawRequest:
    return RawRequest(method, "/", version, Headers(fields), "127.0.0.1", io.BytesIO())


@pytest.mark.parametrize(
    ("connection", "upgrade", "wanted"),
    [
        ("upgrade", "websocket", "websocket"),
        ("Keep-Alive, Upgrade", "WebSocket", "WebSocket"),
        ("upgrade", "chat/2, other", "chat/2, other"),
        ("upgrade", "TLS/1.0", "TLS/1.0"),
        ("upgrade", "h2c", ""),
        ("upgrade", "H2C, HTTP/2.0, HTTP/3, h2", ""),
        ("upgrade", "h2c, websocket", "websocket"),
        ("upgrade", "", ""),
        ("upgrade", None, ""),
        ("keep-alive", "websocket", ""),
        ("x-upgrade", "websocket", ""),
        (None, "websocket", ""),
    ],
)
def test_by_its_fields(connection: str | None, upgrade: str | None, wanted: str) -> None:
    given = (("Connection", connection), ("Upgrade", upgrade))
    fields = tuple((name, value) for name, value in given if value is not None)
    assert wanted_protocols(asking("GET", (1, 1), fields)) == wanted


@pytest.mark.parametrize(
    ("method", "version"), [("GET", (1, 0)), ("POST", (1, 1)), ("HEAD", (1, 1)), ("DELETE", (1, 1))]
)
def test_by_its_method_and_version(method: str, version: tuple[int, int]) -> None:
    fields = (("Connection", "upgrade"), ("Upgrade", "websocket"))
    assert wanted_protocols(asking(method, version, fields)) == ""
