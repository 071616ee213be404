"""Clients that would have a worker do much for nothing by HTTP/2: they are stopped, and nobody else is."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from certificates import Certificate, make_certificate
from harness import Proxy
from http2_clients import Attacker, Http2Client, tls_proxy
from origin import Generated, Origin
from strict_http2 import Fields, frame

CALM, PROTOCOL = 11, 1
DATA, HEADERS, PRIORITY, RST, SETTINGS, _PUSH, PING, _GOAWAY, WINDOW, CONTINUATION = range(10)
_MOST = 100_000
"""Frames of a flood, of which none is let through."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("target")
    pair: Certificate = make_certificate(folder, "DNS:localhost,IP:127.0.0.1")
    with tls_proxy(folder / "proxy", pair) as proxy:
        yield proxy
        assert "Traceback" not in proxy.log()


def health(proxy: Proxy) -> Fields:
    return page(proxy, "/api/v1/health/")


def page(proxy: Proxy, path: str, method: str = "GET") -> Fields:
    return [(":method", method), (":scheme", "https"), (":authority", proxy.netloc), (":path", path)]


def streams() -> Iterator[int]:
    return count(1, 2)


def repeated(piece: bytes) -> Callable[[Proxy, Attacker], Iterator[bytes]]:
    return lambda _proxy, _attacker: iter([piece * 100] * (_MOST // 100))


def rapid_reset(proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    """CVE-2023-44487."""
    for stream, _ in zip(streams(), range(_MOST), strict=False):
        yield attacker.request(stream, page(proxy, "/api/v1/status/")) + frame(RST, 0, stream, bytes(4))


def made_to_reset(proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    """CVE-2025-8671: it is the server that is made to reset streams which it works on."""
    for stream, _ in zip(streams(), range(_MOST), strict=False):
        yield attacker.request(stream, page(proxy, "/api/v1/status/")) + frame(WINDOW, 0, stream, bytes(4))


def malformed(_proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    for stream, _ in zip(streams(), range(_MOST), strict=False):
        yield attacker.request(stream, [(":method", "GET")])


def too_many_streams(proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    for stream, _ in zip(streams(), range(_MOST), strict=False):
        yield attacker.request(stream, page(proxy, "/up", "POST"), ends=False)


def continuations(_proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    """CVE-2024-27316."""
    yield frame(HEADERS, 1, 1, b"\x82")
    for _ in range(_MOST):
        yield frame(CONTINUATION, 0, 1, b"\x40\x01a" + b"\x05value")


def empty_continuations(_proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    yield frame(HEADERS, 1, 1, b"\x82")
    for _ in range(_MOST):
        yield frame(CONTINUATION, 0, 1)


def empty_data(proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    """CVE-2019-9518."""
    yield attacker.request(1, page(proxy, "/up", "POST"), ends=False)
    for _ in range(_MOST // 100):
        yield frame(DATA, 0, 1) * 100


def padding(proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    yield attacker.request(1, page(proxy, "/up", "POST"), ends=False)
    for _ in range(_MOST // 100):
        yield frame(DATA, 8, 1, b"\0") * 100


def bombs(_proxy: Proxy, attacker: Attacker) -> Iterator[bytes]:
    """A field of 4 KB, and a byte for each of many copies (CVE-2016-6581)."""
    yield frame(HEADERS, 5, 1, b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 12_000)


# The frames that flood, and the code that ends it.
FLOODS: dict[str, Callable[[Proxy, Attacker], Iterator[bytes]]] = {
    "rapid resets": rapid_reset,
    "streams that have to be reset": made_to_reset,
    "malformed requests": malformed,
    "more streams than allowed": too_many_streams,
    "continuations": continuations,
    "empty continuations": empty_continuations,
    "empty data": empty_data,
    "padding": padding,
    "field bombs": bombs,
    "settings": repeated(frame(SETTINGS, 0, 0, struct.pack(">HL", 4, 1000))),
    "settings of many values": repeated(frame(SETTINGS, 0, 0, struct.pack(">HL", 0x99, 1) * 1000)),
    "agreements": repeated(frame(SETTINGS, 1, 0)),
    "pings": repeated(frame(PING, 0, 0, bytes(8))),
    "answers to no ping": repeated(frame(PING, 1, 0, bytes(8))),
    "priorities": repeated(frame(PRIORITY, 0, 1, bytes(5))),
    "windows": repeated(frame(WINDOW, 0, 0, (1).to_bytes(4, "big"))),
    "unknown frames": repeated(frame(0x77, 0, 0, b"x")),
    "goodbyes": repeated(frame(_GOAWAY, 0, 0, bytes(8))),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(name: str, target: Proxy) -> None:
    with Attacker(target.address) as attacker, Http2Client(target.address) as other:
        assert attacker.flood(FLOODS[name](target, attacker)) in (CALM, None)
        assert other.get(health(target)).body == b"ok"
    assert "ended HTTP/2 with 127.0.0.1: " in target.log()


def test_zero_windows_hold_little(target: Proxy, origin: Origin) -> None:
    """Streams whose client takes nothing of large bodies: they cost no thread, and little memory."""
    origin.put("/large", Generated(5_000_000, seed=5), cache_control="max-age=3600")
    pid = target.worker_pids()[0]
    path = f"/{origin.url('/large')}"
    with Http2Client(target.address) as client:
        client.get(page(target, path))
        client.get(page(target, path))
        before = target.rss(pid)
        attackers = []
        for _ in range(10):
            attacker = Http2Client(target.address, window=0)
            attackers.append(attacker)
            asked = [attacker.ask(page(target, path)) for _ in range(100)]
            attacker.read_until(lambda asked=asked, attacker=attacker: all(  # type: ignore[misc]
                attacker.answers[one].fields for one in asked
            ))  # fmt: skip
        assert client.get(health(target)).body == b"ok"
        assert target.rss(pid) - before < 40 << 20, "for a thousand answers of 5 MB"
        for attacker in attackers:
            attacker.sock.close()


def test_real_traffic_is_no_flood(target: Proxy, origin: Origin) -> None:
    """Thousands of requests, of which some are given up, and windows that are opened all the time."""
    origin.put("/a", b"x" * 1000, cache_control="max-age=3600")
    path = f"/{origin.url('/a')}"
    begun = time.monotonic()
    with Http2Client(target.address) as client:
        for number in range(60):
            asked = [client.ask(page(target, path)) for _ in range(50)]
            if number % 20 == 0:
                client.h2.reset_stream(asked.pop(), 8)
                client.flush()
            assert all(one.body == b"x" * 1000 for one in client.all_of(asked))
    assert client.goaway is None, time.monotonic() - begun
