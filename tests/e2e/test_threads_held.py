"""Who waits holds no thread: a worker with two of them answers whatever else is asked."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from harness import Proxy
from load import Download
from origin import Generated, Origin

MakeProxy = Callable[..., Proxy]

BODY = Generated(300_000, seed=3)


@contextlib.contextmanager
def many(downloads: list[Download]) -> Iterator[list[Download]]:
    for download in downloads:
        download.open()
    yield downloads
    for download in downloads:
        download.close()


def answers_others(proxy: Proxy, origin: Origin, count: int = 6) -> None:
    """Misses of other URLs are answered, whichever worker gets them."""
    for number in range(count):
        path = f"/other-{threading.get_ident()}-{number}"
        origin.put(path, b"other", cache_control="max-age=60")
        assert proxy.get(origin.url(path), timeout=10.0).body == b"other"


@pytest.mark.parametrize("workers", [1, 2])
def test_followers_of_a_head_that_does_not_come(
    make_proxy: MakeProxy, origin: Origin, workers: int
) -> None:
    origin.put("/slow", BODY, cache_control="max-age=60")
    gate = origin.gate("/slow")
    proxy = make_proxy(workers=workers, threads=4)
    # They differ in what decides nothing.
    agents = [[("User-Agent", f"agent/{number}")] for number in range(24)]
    url = origin.url("/slow")
    with many([proxy.download(url, agent, expected=BODY) for agent in agents]) as downloads:
        gate.wait_reached()
        answers_others(proxy, origin)
        gate.open()
        for download in downloads:
            assert download.run().correct, download.error
    assert origin.count("/slow") == 1


def test_followers_that_leave(make_proxy: MakeProxy, origin: Origin, tmp_path: object) -> None:
    origin.put("/slow", BODY, cache_control="max-age=60")
    gate = origin.gate("/slow")
    proxy = make_proxy(threads=4)
    url = origin.url("/slow")
    stays = proxy.download(url, expected=BODY).start()
    gate.wait_reached()
    agents = [[("User-Agent", f"agent/{number}")] for number in range(12)]
    with many([proxy.download(url, agent) for agent in agents]):
        answers_others(proxy, origin, 1)
    answers_others(proxy, origin, 1)
    gate.open()
    assert stays.join().correct
    assert origin.count("/slow") == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"cache_control": "no-store"}, 200),
        ({"headers": (("Vary", "User-Agent"),), "cache_control": "max-age=60"}, 200),
        ({"status": 503}, 503),
    ],
    ids=["not storable", "varies", "fails"],
)
def test_what_becomes_of_them(
    make_proxy: MakeProxy, origin: Origin, options: dict[str, object], status: int
) -> None:
    origin.put("/slow", b"body", **options)
    gate = origin.gate("/slow")
    proxy = make_proxy(threads=4)
    agents = [[("User-Agent", f"agent/{number}")] for number in range(12)]
    with many([proxy.download(origin.url("/slow"), agent) for agent in agents]) as downloads:
        gate.wait_reached()
        answers_others(proxy, origin, 1)
        gate.open()
        for download in downloads:
            download.run()
            assert (download.status, download.complete) == (status, True), download.error


@contextlib.contextmanager
def silent_origins(count: int) -> Iterator[list[str]]:
    """Their URLs: they take connections, and never answer."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256)) for _ in range(count)
        ]
        yield [f"http://127.0.0.1:{server.getsockname()[1]}" for server in servers]


@contextlib.contextmanager
def asking(proxy: Proxy, urls: list[str], client: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Requests on their way, each on a connection of its own; closed in the end."""
    with contextlib.ExitStack() as stack:
        made = []
        for url in urls:
            sock = socket.create_connection(proxy.address, 10, source_address=(client, 0))
            made.append(stack.enter_context(sock))
            sock.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield made


def test_a_silent_origin_holds_up_no_other_one(make_proxy: MakeProxy, origin: Origin) -> None:
    proxy = make_proxy(threads=8, config={"memory": 0})
    origin.put("/stored", b"stored", cache_control="max-age=600")
    assert proxy.get(origin.url("/stored")).body == b"stored"
    with silent_origins(1) as (url,), asking(proxy, [f"{url}/{number}" for number in range(40)]):
        answers_others(proxy, origin)
        assert proxy.get(origin.url("/stored"), timeout=10.0).body == b"stored"
        assert origin.count("/stored") == 1


def test_a_client_that_floods_holds_up_no_other_one(make_proxy: MakeProxy, origin: Origin) -> None:
    proxy = make_proxy(threads=8)
    with silent_origins(10) as silent:
        urls = [f"{url}/{number}" for number in range(6) for url in silent]
        with asking(proxy, urls, client="127.0.0.2"):
            answers_others(proxy, origin)
