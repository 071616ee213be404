"""All at once: parts, conditions, uploads, clients that leave, origins that break off, purges, kills."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from harness import Proxy
from load import Download
from origin import Generated, Origin

CLIENTS = 30
REQUESTS = 60
KILLS = 3
SIZES = [0, 1, 1000, 70_000, 1_000_000, 4_000_000]

MakeProxy = Callable[..., Proxy]


def resource(chance: random.Random, number: int) -> dict[str, Any]:
    """How one resource behaves: fresh or not, with a validator or not, whole or broken off."""
    options: dict[str, Any] = {
        "cache_control": chance.choice(["max-age=3600", "max-age=3600", "max-age=0", "no-store", "private"])
    }
    if chance.random() < 0.7:
        options["etag"] = f'"{number}"'
    if chance.random() < 0.3:
        options["chunked"] = True
    if chance.random() < 0.3:
        options["break_at"] = [chance.choice([None, 0, 0.3, 0.6]) for _ in range(CLIENTS * REQUESTS)]
    if chance.random() < 0.3:
        options["headers"] = [("Vary", "X-Kind")]
    return options


def asked_for(chance: random.Random, proxy: Proxy, url: str, body: Generated) -> Download:
    """One request of some kind."""
    headers = [("X-Kind", chance.choice("ab"))]
    kind = chance.random()
    if kind < 0.05:
        return proxy.download(url, headers, method="POST", body=b"changes it")
    if kind < 0.1:
        return proxy.download(url, headers, method="HEAD")
    if kind < 0.3 and body.size:
        headers.append(("Range", f"bytes={chance.randrange(body.size)}-"))
    return proxy.download(url, headers, expected=body, timeout=30)


@pytest.mark.timeout(300)
def test_what_ends_whole_is_right(origin_process: Origin, make_proxy: MakeProxy) -> None:
    chance = random.Random(11)
    bodies = {f"/{number}": Generated(chance.choice(SIZES), number) for number in range(40)}
    for number, (path, body) in enumerate(bodies.items()):
        origin_process.put(path, body, **resource(chance, number))
    config = {"fetch": {"pause": 0.01}, "store": {"max_size": "30M"}}
    proxy = make_proxy(workers=2, threads=200, config=config)
    wrong: list[tuple[str, int]] = []
    whole = [0] * CLIENTS

    def client(number: int) -> None:
        mine = random.Random(number)
        for _ in range(REQUESTS):
            path = mine.choice(list(bodies))
            download = asked_for(mine, proxy, origin_process.url(path), bodies[path])
            if mine.random() < 0.15:
                download.timeout = 0.05  # a client that soon leaves
            download.run()
            whole[number] += download.complete
            if download.complete and download.status in (200, 206) and download.correct is False:
                wrong.append((path, download.received))

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    command = [*proxy.command[:3], "purge", "--cache-dir", str(proxy.cache_dir)]
    for _ in range(KILLS):
        for path in chance.sample(list(bodies), 3):
            subprocess.run(
                [*command, origin_process.url(path)], check=True, capture_output=True, timeout=30
            )
        proxy.kill_worker(chance.choice(proxy.worker_pids()))
    for thread in clients:
        thread.join(120)
    assert not any(thread.is_alive() for thread in clients)
    assert wrong == []
    assert sum(whole) > CLIENTS * REQUESTS // 2
    checked = subprocess.run(
        [*command[:3], "fsck", *command[4:]], capture_output=True, text=True, timeout=60
    )
    assert checked.stdout.strip() == "clean"
