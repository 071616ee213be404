"""The disk forgets: a damaged body is fetched again, before anybody gets it or as soon as it is found."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from harness import Proxy
from origin import Origin
from waiting import until

MakeProxy = Callable[..., Proxy]


def rot(folder: Path) -> None:
    """One bit of each body."""
    for path in (folder / "blobs").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    with closing(sqlite3.connect(folder / "index.sqlite")) as index, index:
        for place, content in index.execute("SELECT place, content FROM small_bodies"):
            rotten = bytearray(content)
            rotten[len(content) // 2] ^= 1
            index.execute("UPDATE small_bodies SET content = ? WHERE place = ?", (rotten, place))


def hit(proxy: Proxy, url: str) -> bool:
    return "; hit" in (proxy.get(url).get("cache-status") or "")


@pytest.mark.parametrize(("size", "verify"), [(500, "0"), (50_000, "0"), (500, "1T"), (3_000_000, "1T")])
def test_a_damaged_body_is_fetched_again(
    make_proxy: MakeProxy, origin: Origin, size: int, verify: str
) -> None:
    body = b"0123456789" * (size // 10)
    origin.put("/a", body, cache_control="max-age=3600")
    proxy = make_proxy(config={"store": {"verify": "0"}}, workers=2)
    url = origin.url("/a")
    until(lambda: hit(proxy, url))
    proxy.terminate()
    rot(proxy.cache_dir)
    proxy.configure({"store": {"verify": verify}})
    proxy.start()
    if verify != "0":
        until(lambda: "it is forgotten, and fetched again" in proxy.log())
    for _ in range(3):
        assert proxy.get(url).body == body
    until(lambda: hit(proxy, url))
    assert origin.count("/a") == 2
    assert "Traceback" not in proxy.log()
    if verify != "0":
        until(lambda: stats(proxy)["counters"].get("verified.damaged") == 1)
        assert 0 <= stats(proxy)["verified"] <= 1


def stats(proxy: Proxy) -> dict[str, dict[str, int]]:
    command = [sys.executable, "-m", "pyproxycache", "stats", "--json", "--cache-dir", str(proxy.cache_dir)]
    done = subprocess.run(command, env=proxy.environment, capture_output=True, check=True, timeout=60)
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found
