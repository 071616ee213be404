"""Downloads whose clients have all gone: some go on, the others end, and leave what they have."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Proxy
from origin import Generated, Origin

MB = 1 << 20
COUNT = 12
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}

MakeProxy = Callable[..., Proxy]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(what)


def descriptors(proxy: Proxy) -> int:
    (pid,) = proxy.worker_pids()
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def leave(origin: Origin, proxy: Proxy, size: int = 4 * MB) -> None:
    """COUNT clients begin, each its own download, and go away in the middle."""
    for number in range(COUNT):
        body = Generated(size, seed=number)
        origin.put(f"/{number}", body, **FRESH, hang_at=[size // 2, None])
        with proxy.download(origin.url(f"/{number}"), expected=body) as client:
            client.read_head()
            client.take(size // 4)


@pytest.mark.parametrize(
    ("limits", "go_on"),
    [
        ({"abandoned": 3}, 3),
        ({"abandoned_of_origin": 2}, 2),
        ({"abandoned": 100, "abandoned_of_origin": 100}, COUNT),
    ],
    ids=["in all", "of an origin", "within the limits"],
)
def test_only_so_many_go_on(
    origin: Origin, make_proxy: MakeProxy, limits: dict[str, int], go_on: int
) -> None:
    proxy = make_proxy(threads=64, config={"fetch": limits})
    leave(origin, proxy)
    wait_until(
        lambda: proxy.log().count("no client waits for it") == COUNT - go_on, "the others did not end"
    )
    assert len(list((proxy.cache_dir / "partial").iterdir())) == COUNT


def test_what_was_left_is_gone_on_with(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(threads=64, config={"fetch": {"abandoned": 1}})
    leave(origin, proxy)
    wait_until(lambda: proxy.log().count("no client waits for it") == COUNT - 1, "they did not end")
    for number in range(1, COUNT):
        body = Generated(4 * MB, seed=number)
        reply = proxy.get(origin.url(f"/{number}"))
        assert reply.complete
        assert reply.body == body.slice(0, body.size)
        # The second request of it begins where the first one was left.
        assert (origin.asked(f"/{number}")[1].get("Range") or "").startswith("bytes=")


def test_their_descriptors_come_back(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(threads=64, config={"fetch": {"abandoned": 1}})
    origin.put("/first", b"first", **FRESH)
    assert proxy.get(origin.url("/first")).body == b"first"
    before = descriptors(proxy)
    leave(origin, proxy)
    wait_until(lambda: descriptors(proxy) < before + COUNT, "their descriptors stay")
