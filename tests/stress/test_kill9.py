"""kill -9 of the whole server under many running downloads, again and again."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable

import pytest
from harness import Proxy
from load import Download
from origin import Generated, Origin

ROUNDS = 20
RUNNING = 100
OBJECTS = 60

MakeProxy = Callable[..., Proxy]


def fsck(proxy: Proxy) -> subprocess.CompletedProcess[str]:
    command = [*proxy.command[:3], "fsck", "--cache-dir", str(proxy.cache_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.timeout(300)
def test_nothing_damaged_is_ever_served(origin_process: Origin, make_proxy: MakeProxy) -> None:
    chance = random.Random(9)
    bodies = {f"/{number}": Generated(chance.randrange(1, 3_000_000), number) for number in range(OBJECTS)}
    for number, (path, body) in enumerate(bodies.items()):
        validator = {"etag": f'"{number}"'} if number % 3 else {}
        framing = {"chunked": True} if number % 4 == 1 else {}
        rate = 1_000_000 if number % 2 else None
        origin_process.put(path, body, cache_control="max-age=3600", rate=rate, **validator, **framing)
    proxy = make_proxy(workers=2, threads=RUNNING)
    served = 0
    for _ in range(ROUNDS):
        clients = []
        for _ in range(RUNNING):
            path = chance.choice(list(bodies))
            url = origin_process.url(path)
            clients.append(proxy.download(url, expected=bodies[path], timeout=10).start())
        for client in clients[: chance.randrange(1, RUNNING // 2)]:
            client.join()
        proxy.kill9()
        for client in clients:
            client.join()
            # Broken off, or whole and right: there is no third.
            assert client.correct or not client.complete, client.url
            served += client.complete
        proxy.start()
        checked = fsck(proxy)
        assert checked.returncode == 0, checked.stdout
    assert served
    last: list[tuple[str, Download]] = [
        (path, proxy.download(origin_process.url(path), expected=body).start())
        for path, body in bodies.items()
    ]
    for path, download in last:
        download.join()
        assert download.correct, path
        assert download.complete, path
    assert fsck(proxy).stdout.strip() == "clean"
