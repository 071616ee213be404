"""A worker's memory stays level, whatever clients send and origins answer."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Proxy
from origin import Generated, Origin

MB = 1 << 20
ARENA = 64 * MB
LONG = 6_000

MakeProxy = Callable[..., Proxy]


def arenas(pid: int) -> int:
    """How many arenas of the heap there are beside the main one: glibc aligns each to 64 MB."""
    starts = re.findall(r"^([0-9a-f]+)-[0-9a-f]+ rw-p", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    return sum(int(start, 16) % ARENA == 0 for start in starts)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are those of glibc")
def test_threads_have_no_heaps_of_their_own(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(threads=64, config={"memory": 0})
    body = Generated(200_000, seed=1)
    for number in range(64):
        origin.put(f"/{number}", body, cache_control="max-age=3600", head_delay=0.5)
    with ThreadPoolExecutor(64) as clients:
        for reply in clients.map(lambda number: proxy.get(origin.url(f"/{number}")), range(64)):
            assert reply.status == 200
    (pid,) = proxy.worker_pids()
    assert arenas(pid) <= 2


def with_long_fields(proxy: Proxy, url: str) -> None:
    fields = (("User-Agent", url[-LONG:]), ("X-Other", url[-LONG:]), ("Accept-Language", url[-LONG:]))
    assert proxy.get(url, fields).status == 200


def refused(proxy: Proxy, url: str) -> None:
    assert proxy.get(url, [("Content-Length", "x"), ("User-Agent", url[-LONG:])]).status == 400


def aborted(proxy: Proxy, url: str) -> None:
    with contextlib.suppress(OSError), proxy.download(url) as client:
        client.read_head()


@pytest.mark.parametrize("asks", [with_long_fields, refused, aborted])
def test_nothing_that_clients_send_is_kept_for_good(
    origin: Origin, make_proxy: MakeProxy, asks: Callable[[Proxy, str], None]
) -> None:
    """Each request has some thousand bytes that no other has: kept, they would be many megabytes."""
    headers = [("Cache-Control", "no-store"), ("Vary", "Accept-Language"), ("X-Long", "x" * LONG)]
    origin.put("/a", bytes(100), headers=headers, etag='"v1"')
    proxy = make_proxy(threads=16, config={"memory": "1M"})
    url = origin.url("/a")

    def ask(count: int, first: int) -> int:
        urls = [f"{url}?{number}&{'q' * LONG}{number}" for number in range(first, first + count)]
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda one: asks(proxy, one), urls))
        (pid,) = proxy.worker_pids()
        return proxy.rss(pid)

    before = ask(1000, 0)  # by then what has a bound is at it
    grown = ask(700, 1000) - before
    assert grown < 3 * MB, f"{grown / MB:.1f} MB more after 700 requests"
