"""Few descriptors: what is idle gives way, hits are answered, and accepting goes on by itself."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Proxy
from origin import Generated, Origin
from raw import Conversation, request

LIMIT = 128
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}
BODY = Generated(300_000, seed=1)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """One that may have few descriptors, and answers nothing from memory."""
    made = Proxy(tmp_path / "proxy", threads=32, config={"memory": 0})
    made.command = ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *made.command]
    with made as running:
        yield running


def stored(origin: Origin, proxy: Proxy) -> str:
    origin.put("/hit", BODY, **FRESH)
    url = origin.url("/hit")
    assert proxy.get(url).status == 200
    return url


def hit(proxy: Proxy, url: str) -> None:
    reply = proxy.get(url)
    assert reply.status == 200, reply.body
    assert reply.body == BODY.slice(0, BODY.size)


def test_idle_clients_give_way(origin: Origin, proxy: Proxy) -> None:
    url = stored(origin, proxy)
    with contextlib.ExitStack() as kept:
        for _ in range(2 * LIMIT):
            client = kept.enter_context(Conversation(proxy.address, timeout=30))
            answer = client.send(request(f"GET {url}", "Host: origin.example")).reply()
            assert (answer.status, len(answer.body)) == (200, BODY.size)
        for _ in range(20):
            hit(proxy, url)
    assert "Traceback" not in proxy.log()


def test_clients_that_say_nothing_give_way(origin: Origin, proxy: Proxy) -> None:
    url = stored(origin, proxy)
    with contextlib.ExitStack() as kept:
        for _ in range(3 * LIMIT):
            kept.enter_context(socket.create_connection(proxy.address, 30))
        for _ in range(5):
            hit(proxy, url)
    hit(proxy, url)


def test_idle_connections_to_origins_give_way(origin: Origin, proxy: Proxy) -> None:
    url = stored(origin, proxy)
    for number in range(30):
        origin.put(f"/{number}", b"%d" % number, cache_control="no-store", head_delay=0.5)
    with ThreadPoolExecutor(30) as clients:
        for reply in clients.map(lambda number: proxy.get(origin.url(f"/{number}")), range(30)):
            assert reply.status == 200
    with contextlib.ExitStack() as kept:
        for _ in range(LIMIT):
            client = kept.enter_context(Conversation(proxy.address, timeout=30))
            assert client.send(request(f"GET {url}", "Host: origin.example")).reply().status == 200
        hit(proxy, url)
        other = Generated(300_000, seed=2)
        origin.put("/miss", other, **FRESH)
        assert proxy.get(origin.url("/miss")).body == other.slice(0, other.size)
