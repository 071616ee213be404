"""Worker processes that die, stop and start while downloads run."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing

from harness import Proxy
from load import Download
from origin import Gate, Generated, Origin

MB = 1_000_000
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}

MakeProxy = Callable[..., Proxy]
Fields = Sequence[tuple[str, str]]


def leader_of(proxy: Proxy, url: str) -> int:
    """The process that downloads the URL, by the claim's owner."""
    with closing(sqlite3.connect(proxy.cache_dir / "index.sqlite")) as index:
        rows = index.execute("SELECT cache_key, owner FROM flights").fetchall()
    (owner,) = [owner for key, owner in rows if key == url]
    return int(owner.split("-")[1])


def clients_of(
    proxy: Proxy, url: str, count: int, expected: Generated, headers: Fields = ()
) -> list[Download]:
    """So many clients that have their first bytes."""
    clients = [proxy.download(url, headers, expected=expected) for _ in range(count)]
    for client in clients:
        client.begun(1000)
    return clients


def on_both_workers(proxy: Proxy, url: str, expected: Generated, headers: Fields = ()) -> list[Download]:
    """Clients that have their first bytes, some of them at each of two workers."""
    clients: list[Download] = []
    while len(workers := proxy.worker_pids()) < 2 or not all(map(proxy.connections, workers)):
        assert len(clients) < 400, "one of the workers takes no connections"
        clients += clients_of(proxy, url, 10, expected, headers)
    return clients


def kill_the_leader(proxy: Proxy, origin: Origin, gate: Gate, clients: list[Download]) -> None:
    """Kills it while its answer is held at the gate, and opens that once the successor has asked.

    The successor waits for nothing: the first answer is still held.
    """
    for client in clients:
        client.start()
    gate.wait_reached()
    proxy.kill_worker(leader_of(proxy, origin.url("/a")))
    origin.wait_for("/a", 2)
    gate.open()


def survive(clients: list[Download]) -> None:
    """Those whose worker was not killed have the whole body, and there are some."""
    survivors = [client for client in clients if client.join().complete]
    assert survivors
    assert all(client.correct for client in survivors)


def test_a_killed_leader_is_succeeded_at_once(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(8 * MB, seed=20)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy(workers=2, threads=500)
    clients = on_both_workers(proxy, origin.url("/a"), body)
    kill_the_leader(proxy, origin, gate, clients)
    survive(clients)
    assert [asked.get("Range") is None for asked in origin.asked("/a")] == [True, False]
    assert origin.asked("/a")[1].get("If-Range") == '"v1"'
    assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
    assert origin.count("/a") == 2


def test_a_killed_leader_of_a_part_is_succeeded(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(8 * MB, seed=26)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=4 * MB)
    proxy = make_proxy(workers=2, threads=500)
    wanted = [("Range", f"bytes={MB}-{6 * MB - 1}")]
    clients = on_both_workers(proxy, origin.url("/a"), body, wanted)
    kill_the_leader(proxy, origin, gate, clients)
    survive(clients)
    first, second = origin.asked("/a")
    assert first.get("Range") == f"bytes={MB}-{6 * MB - 1}"
    assert (second.get("Range") or "").endswith(f"-{6 * MB - 1}")
    assert MB < int((second.get("Range") or "bytes=0-")[6:].partition("-")[0]) <= 4 * MB
    within = proxy.get(origin.url("/a"), [("Range", f"bytes={2 * MB}-{2 * MB + 9}")])
    assert within.body == body.slice(2 * MB, 10)
    assert origin.count("/a") == 2


def test_a_killed_leader_without_validator_breaks_its_followers(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    body = Generated(4 * MB, seed=21)
    origin.put("/a", body, cache_control="max-age=3600")
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy(workers=2, threads=500)
    clients = on_both_workers(proxy, origin.url("/a"), body)
    for client in clients:
        client.start()
    gate.wait_reached()
    proxy.kill_worker(leader_of(proxy, origin.url("/a")))
    gate.open()
    for client in clients:
        client.join()
        assert client.correct or not client.complete
    assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)


def test_a_partial_file_is_resumed_after_the_server_was_killed(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    body = Generated(4 * MB, seed=22)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy(workers=2)
    clients_of(proxy, origin.url("/a"), 1, body)
    gate.wait_reached()
    proxy.kill9()
    gate.open()
    proxy.start()
    assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
    assert (origin.asked("/a")[1].get("Range") or "").startswith("bytes=")


def test_sigterm_lets_a_running_download_finish(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(4 * MB, seed=23)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy(workers=2)
    (client,) = clients_of(proxy, origin.url("/a"), 1, body)
    abandoned = proxy.download(origin.url("/b"), expected=body)
    origin.put("/b", body, **FRESH)
    other_gate = origin.gate("/b", at=0.5)
    abandoned.begun(1000)
    abandoned.close()
    client.start()
    stopping = Stopping(proxy)
    gate.open()
    assert client.join().correct
    other_gate.open()
    assert stopping.join() == 0
    proxy.start()
    for path in ("/a", "/b"):
        assert proxy.get(origin.url(path)).body == body.slice(0, body.size)
        assert origin.count(path) == 1


def test_what_is_not_finished_in_time_is_resumed(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(4 * MB, seed=24)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy(workers=2, config={"fetch": {"drain": 1}})
    (client,) = clients_of(proxy, origin.url("/a"), 1, body)
    gate.wait_reached()
    proxy.terminate()
    gate.open()
    assert not client.run().complete
    proxy.start()
    assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
    assert origin.asked("/a")[1].get("If-Range") == '"v1"'


class Stopping:
    """SIGTERM, now; the exit is waited for later."""

    def __init__(self, proxy: Proxy) -> None:

        self.status: int | None = None
        self._proxy = proxy
        os.kill(proxy.pid, signal.SIGTERM)
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        self.status = self._proxy.terminate()

    def join(self) -> int | None:
        self._thread.join()
        return self.status
