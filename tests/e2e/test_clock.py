"""The clock is set while the server runs: freshness, access times and durations."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy, Reply
from origin import Origin
from raw import Conversation, request
from set_clock import Clock

MakeProxy = Callable[..., Proxy]

DAY = 86400


def put(origin: Origin, path: str, cache_control: str) -> None:
    """A response without a Date, by which the cache would know how old it is at least."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: {cache_control}\r\n\r\n"
    origin.put(path, handler=lambda _asked: f"{head}body".encode())


def run(proxy: Proxy, clock: Clock, *command: str) -> str:
    """What another command prints, on the proxy's cache and by the same clock."""
    options = [*command, "--cache-dir", str(proxy.cache_dir)]
    done = subprocess.run(
        [sys.executable, "-m", "pyproxycache", *options],
        env={**proxy.environment, **clock.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def listed(proxy: Proxy, clock: Clock) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(proxy, clock, "ls", "--json"))
    return found


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def ask(proxy: Proxy, url: str, times: int = 1) -> Reply:
    """The last of so many answers on one connection."""
    with Conversation(proxy.address) as client:
        for _ in range(times):
            reply = client.send(request(f"GET {url}")).reply()
    return reply


def is_hit(reply: Reply) -> bool:
    return "; hit" in (reply.get("cache-status") or "")


@pytest.mark.parametrize(
    "cache_control", ["max-age=60", "max-age=2147483647"], ids=["a-minute", "for-ever"]
)
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_nothing_that_came_at_a_time_to_come_is_fresh(
    make_proxy: MakeProxy, origin: Origin, clock: Clock, cache_control: str, restarts: bool
) -> None:
    put(origin, "/a", cache_control)
    clock.set(365 * DAY)
    proxy = make_proxy(environment=clock.environment)
    url = origin.url("/a")
    assert is_hit(ask(proxy, url, 4))
    if restarts:
        proxy.terminate()
    clock.set(600)
    if restarts:
        proxy.start()
    assert not is_hit(ask(proxy, url))
    # What was asked for anew has the right time.
    reply = ask(proxy, url, 4)
    assert is_hit(reply)
    assert int(reply.get("age") or "") < 60
    assert origin.count("/a") == 2


def test_a_clock_that_is_set_forward_evicts_nothing_and_asks_anew(
    make_proxy: MakeProxy, origin: Origin, clock: Clock
) -> None:
    put(origin, "/a", "max-age=60")
    proxy = make_proxy(environment=clock.environment)
    url = origin.url("/a")
    assert is_hit(ask(proxy, url, 4))
    clock.set(365 * DAY)
    run(proxy, clock, "gc")
    assert len(listed(proxy, clock)) == 1
    assert not is_hit(ask(proxy, url))
    assert is_hit(ask(proxy, url, 4))
    assert origin.count("/a") == 2


def test_access_times_end_now_when_the_clock_is_set_back(
    make_proxy: MakeProxy, origin: Origin, clock: Clock
) -> None:
    put(origin, "/a", "max-age=60")
    clock.set(365 * DAY)
    proxy = make_proxy(environment=clock.environment)
    ask(proxy, origin.url("/a"))
    clock.set(0)
    # The server has noticed, or this command does.
    run(proxy, clock, "gc")
    (entry,) = listed(proxy, clock)
    assert entry["accessed"] < time.time() + 3600


@pytest.mark.parametrize("step", [365 * DAY, -365 * DAY], ids=["forward", "back"])
def test_a_request_takes_as_long_as_it_takes(
    make_proxy: MakeProxy, origin: Origin, clock: Clock, tmp_path: Path, step: int
) -> None:
    log = tmp_path / "access.log"
    origin.put("/slow", b"x" * 1000)
    gate = origin.gate("/slow")
    proxy = make_proxy(
        environment=clock.environment, config={"log": {"access": str(log), "format": "json"}}
    )
    download = proxy.download(origin.url("/slow")).start()
    gate.wait_reached()
    clock.set(step)
    gate.open()
    assert download.join().complete
    proxy.terminate()
    (line,) = log.read_text().splitlines()
    assert 0 <= json.loads(line)["seconds"] < 60
