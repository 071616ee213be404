"""Answers that would empty the cache, or fill the disk past it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Proxy, clean_environment
from origin import Generated, Origin

MB = 1 << 20
SIZE, SMALL = 40 * MB, 10 * MB
SLACK = 9 * MB  # files of fixed size, and the ballast of a cache of this size
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}
GOOD = 20

MakeProxy = Callable[..., Proxy]


def attacked(make_proxy: MakeProxy, size: int = SIZE) -> Proxy:
    store = {"max_size": size, "reserve": 0}
    return make_proxy(config={"store": store, "memory": 0, "fetch": {"tries": 1}}, threads=64)


def taken(folder: Path) -> int:
    """Bytes of the disk that the folder takes, as du has them."""
    count = 0
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            count += path.lstat().st_blocks * 512
    return count


def fill(origin: Origin, proxy: Proxy, times: int = 2) -> None:
    """Objects that are asked for again: half of what the cache may take."""
    for number in range(GOOD):
        origin.put(f"/good{number}", Generated(MB, seed=number), **FRESH)
        for _ in range(times):
            assert proxy.get(origin.url(f"/good{number}")).status == 200
    noted(proxy)


def noted(proxy: Proxy) -> None:
    """Waits until the hits so far are in the index."""
    want = '"hits": 1'
    for _ in range(100):
        if cli(proxy, "ls", "--json", "*").count(want) >= GOOD:
            return
        time.sleep(0.2)
    raise AssertionError("the hits were not noted")


def kept(origin: Origin, proxy: Proxy) -> int:
    """How many of them are stored still."""
    asked = [("Cache-Control", "only-if-cached")]
    return sum(proxy.get(origin.url(f"/good{number}"), asked).status == 200 for number in range(GOOD))


def cli(proxy: Proxy, *arguments: str) -> str:
    command = [sys.executable, "-m", "pyproxycache", *arguments, "--cache-dir", str(proxy.cache_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def gc(proxy: Proxy, size: int = SIZE) -> None:
    cli(proxy, "gc", "--max-size", str(size))


@pytest.mark.parametrize("announced", [SIZE // 2 - 2 * MB, SIZE - MB, 10 * SIZE])
def test_what_is_only_announced_takes_nothing(
    origin: Origin, make_proxy: MakeProxy, announced: int
) -> None:
    proxy = attacked(make_proxy)
    fill(origin, proxy)
    origin.put("/announced", Generated(announced, seed=99), **FRESH, break_at=0)
    with contextlib.suppress(ConnectionError):  # broken off before its head, or behind it
        assert not proxy.get(origin.url("/announced")).complete
    assert kept(origin, proxy) == GOOD


@pytest.mark.parametrize("at_once", [1, 6])
def test_bodies_without_end_take_only_what_is_worth_less(
    origin: Origin, make_proxy: MakeProxy, at_once: int
) -> None:
    proxy = attacked(make_proxy)
    fill(origin, proxy)
    body = Generated(2 * SIZE, seed=98)
    for number in range(at_once):
        origin.put(f"/endless{number}", body, **FRESH, chunked=True)
    clients = [proxy.download(origin.url(f"/endless{number}"), expected=body) for number in range(at_once)]
    for client in [client.start() for client in clients]:
        client.join()
        assert client.correct
    gc(proxy)
    assert kept(origin, proxy) >= GOOD - 5
    assert taken(proxy.cache_dir) < SIZE + SLACK


@pytest.mark.parametrize(("head", "count"), [(60_000, 350), (250_000, 60)], ids=["kept", "too-large"])
def test_heads_count_and_the_index_shrinks_again(
    origin: Origin, make_proxy: MakeProxy, head: int, count: int
) -> None:
    proxy = attacked(make_proxy, SMALL)
    long = [(f"X-Long-{part}", "x" * 10_000) for part in range(head // 10_000)]
    for number in range(count):
        origin.put(f"/{number}", b"body", headers=long, **FRESH)
    peak = 0
    with ThreadPoolExecutor(8) as clients:
        for number, reply in enumerate(
            clients.map(lambda number: proxy.get(origin.url(f"/{number}")), range(count))
        ):
            assert reply.body == b"body"
            if number % 50 == 0:
                peak = max(peak, taken(proxy.cache_dir))
    assert peak < SMALL + SLACK + SMALL // 4
    gc(proxy, SMALL)
    assert taken(proxy.cache_dir) < SMALL + SLACK
    index = sum(path.stat().st_size for path in proxy.cache_dir.glob("index.sqlite*"))
    assert index < (SMALL + MB if head == 60_000 else 4 * MB)
    cli(proxy, "gc", "--max-size", "1M")
    assert sum(path.stat().st_size for path in proxy.cache_dir.glob("index.sqlite*")) < 4 * MB
    assert "clean" in cli(proxy, "fsck")


def test_many_small_files_count_as_what_they_take(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = attacked(make_proxy, SMALL)
    origin.put("/a", b"")  # so that the first request is no special one
    count = SMALL // 4096
    for number in range(count):
        origin.put(f"/{number}", b"%d" % number, **FRESH)
    with ThreadPoolExecutor(8) as clients:
        for reply in clients.map(lambda number: proxy.get(origin.url(f"/{number}")), range(count)):
            assert reply.status == 200
    gc(proxy, SMALL)
    assert taken(proxy.cache_dir) < SMALL + SLACK
