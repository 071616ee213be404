"""Who waits holds no thread: a worker with two of them answers whatever else is asked."""

from __future__ import annotations

import contextlib
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
    proxy = make_proxy(workers=workers, threads=2)
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
    proxy = make_proxy(threads=2)
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
    proxy = make_proxy(threads=2)
    agents = [[("User-Agent", f"agent/{number}")] for number in range(12)]
    with many([proxy.download(origin.url("/slow"), agent) for agent in agents]) as downloads:
        gate.wait_reached()
        answers_others(proxy, origin, 1)
        gate.open()
        for download in downloads:
            download.run()
            assert (download.status, download.complete) == (status, True), download.error
