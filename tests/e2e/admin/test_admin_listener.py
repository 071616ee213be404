"""The admin listener: what it tells and does, whatever workers and clients are doing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asked_admin import Admin, MakeAdmin, config_with, reserved
from commands import reload
from harness import Proxy
from origin import Generated, Origin
from waiting import until

from pyproxycache.front.admin.stack_teller import teller_address

MakeProxy = Callable[..., Proxy]

FRESH = {"etag": '"1"', "cache_control": "max-age=3600"}
BODY = Generated(300_000, seed=13)
REQUESTS = "pyproxycache_requests_total"


def served(admin: Admin, origin: Origin, count: int, path: str = "/x") -> None:
    """So many requests, each on a connection of its own, and counted."""
    before = admin.total(REQUESTS, way="proxy")
    origin.put(path, b"answer", **FRESH)
    for _ in range(count):
        assert admin.proxy.get(origin.url(path)).body == b"answer"
    until(lambda: admin.total(REQUESTS, way="proxy") == before + count)


def test_a_server_that_serves_is_live_and_ready(admin: MakeAdmin) -> None:
    asked = admin(workers=2)
    for path in ("/health/live", "/health/ready"):
        assert (asked.ask(f"GET {path}").status, asked.ask(f"GET {path}").body) == (200, b"ok\n")
        assert asked.ask(f"HEAD {path}").body == b""


def test_all_workers_are_summed_and_a_dead_one_takes_nothing_back(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin(workers=3)
    served(asked, origin, 30)
    before = asked.samples()
    assert asked.total("pyproxycache_workers") == 3
    for pid in asked.proxy.worker_pids():
        asked.proxy.kill_worker(pid)
        served(asked, origin, 3)
    until(lambda: asked.total("pyproxycache_workers") == 3)
    after = asked.samples()
    fallen = [
        key
        for key, value in before.items()
        if key[0].endswith(("_total", "_bucket", "_count", "_sum")) and after.get(key, 0) < value
    ]
    assert fallen == []
    assert asked.total(REQUESTS, way="proxy") == 39
    assert asked.total("pyproxycache_request_duration_seconds_count", way="proxy") == 39
    assert asked.total("pyproxycache_request_duration_seconds_bucket", way="proxy", le="+Inf") == 39


def test_bytes_entries_and_answers_from_memory_are_counted(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin()
    served(asked, origin, 20)
    assert asked.total(REQUESTS, way="proxy", result="fetched") == 1
    assert asked.total(REQUESTS, way="proxy", result="hit") == 19
    assert asked.total("pyproxycache_memory_answers_total") > 0
    assert asked.total("pyproxycache_received_bytes_total") == len(b"answer")
    assert asked.total("pyproxycache_sent_bytes_total", way="proxy") > 20 * len(b"answer")
    assert asked.total("pyproxycache_store_entries") == 1
    assert asked.total("pyproxycache_store_bytes") == len(b"answer")
    assert asked.total("pyproxycache_store_up") == 1


def test_evictions_are_counted(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin({"store": {"max_size": "1M", "max_object": "1M"}})
    for number in range(8):
        origin.put(f"/{number}", Generated(250_000, seed=number), **FRESH)
        assert asked.proxy.get(origin.url(f"/{number}")).status == 200
    assert asked.total("pyproxycache_evicted_entries_total") > 0
    assert asked.total("pyproxycache_evicted_bytes_total") >= 250_000


def test_connections_and_flights_are_those_there_are(admin: MakeAdmin, origin: Origin) -> None:
    origin.put("/slow", BODY, **FRESH)
    gate = origin.gate("/slow", at=1000)
    asked = admin(workers=2)
    download = asked.proxy.download(origin.url("/slow"), expected=BODY)
    download.open()
    gate.wait_reached()
    until(lambda: asked.total("pyproxycache_flights") == 1)
    until(lambda: asked.total("pyproxycache_connections") == 1)
    gate.open()
    assert download.run().correct
    until(lambda: asked.total("pyproxycache_flights") == 0)
    download.close()
    until(lambda: asked.total("pyproxycache_connections") == 0)


def test_routes_are_told_apart_and_their_number_is_bounded(admin: MakeAdmin, origin: Origin) -> None:
    routes = {"/api/": {"upstream": origin.url("/"), "routes": {"deep/": {}}}}
    asked = admin({"routes": routes})
    origin.put("/api/x", b"answer")
    origin.put("/api/deep/x", b"answer")
    for number in range(50):
        assert asked.proxy.get(f"/invented-{number}").status == 404
    assert asked.proxy.get("/api/x").status == asked.proxy.get("/api/deep/x").status == 200
    until(lambda: asked.total(REQUESTS) == 52)
    routes_told = {dict(labels)["route"] for name, labels in asked.samples() if name == REQUESTS}
    assert routes_told == {"", "/api/", "/api/deep/"}
    shown = json.loads(asked.ask("GET /routes").body)
    assert [(one["host"], one["path"]) for one in shown] == [("", "/api/"), ("", "/api/deep/")]


def test_no_name_of_a_client_becomes_a_label(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin()
    for number in range(20):
        asked.proxy.get(f"/api/v1/{number}?x={number}", method=f"METHOD{number}")
        asked.proxy.get(f"http://host-{number}.invalid/", [("User-Agent", f"agent-{number}")])
    text = asked.ask("GET /metrics").body.decode()
    assert "host-" not in text
    assert "agent-" not in text
    assert "METHOD" not in text


def test_a_reload_keeps_the_counts_and_old_workers_leave_the_operator_to_the_new(
    admin: MakeAdmin, origin: Origin
) -> None:
    origin.put("/slow", BODY, **FRESH)
    gate = origin.gate("/slow", at=1000)
    asked = admin(workers=2)
    served(asked, origin, 10)
    download = asked.proxy.download(origin.url("/slow"), expected=BODY)
    download.open()
    gate.wait_reached()
    old = set(asked.proxy.worker_pids())
    asked.proxy.reload()
    until(lambda: len(set(asked.proxy.worker_pids()) - old) == 2)
    # The worker that drains lives on, and is not asked any more.
    until(lambda: all(answering(asked) not in old for _ in range(20)))
    for _ in range(20):
        assert asked.ask("GET /health/ready").status == 200
    assert old & set(asked.proxy.worker_pids())
    gate.open()
    assert download.run().correct
    until(lambda: asked.total(REQUESTS, way="proxy") == 11)


def answering(asked: Admin) -> int:
    """The worker that answers."""
    return int(asked.ask("GET /debug/stacks").body.split()[1].rstrip(b","))


def workers_told(asked: Admin) -> list[int]:
    """Those that tell their stacks, which new ones do only once they listen."""
    lines = asked.ask("GET /debug/stacks").body.decode().splitlines()
    return [int(line.split()[1].rstrip(",")) for line in lines if re.match("worker [0-9]+, threads", line)]


def test_stacks_are_those_of_all_workers_old_ones_too(admin: MakeAdmin, origin: Origin) -> None:
    origin.put("/slow", BODY, **FRESH)
    gate = origin.gate("/slow", at=1000)
    asked = admin(workers=3)
    until(lambda: sorted(workers_told(asked)) == sorted(asked.proxy.worker_pids()))
    old = set(asked.proxy.worker_pids())
    download = asked.proxy.download(origin.url("/slow"), expected=BODY)
    download.open()
    gate.wait_reached()
    asked.proxy.reload()
    until(lambda: len(set(workers_told(asked)) - old) == 3)
    until(lambda: len(workers_told(asked)) == 4)
    assert len(old & set(workers_told(asked))) == 1, "the one that drains"
    text = asked.ask("GET /debug/stacks").body.decode()
    assert "does not answer" not in text
    gate.open()
    assert download.run().correct
    until(lambda: not old & set(workers_told(asked)))


def test_a_listener_can_come_and_go_by_reloads(make_proxy: MakeProxy, origin: Origin) -> None:
    with reserved() as first, reserved() as second:
        proxy = make_proxy(workers=2)
        until(lambda: len(proxy.worker_pids()) == 2)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(first)
        reload(proxy, config_with(first))
        served(Admin(proxy, first), origin, 3)
        reload(proxy, config_with(second))
        assert Admin(proxy, second).total(REQUESTS, way="proxy") == 3
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(first)
        reload(proxy, {})
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(second)


def test_a_server_that_drains_says_so_until_its_end(admin: MakeAdmin, origin: Origin) -> None:
    origin.put("/slow", BODY, **FRESH)
    gate = origin.gate("/slow", at=1000)
    asked = admin(workers=2)
    download = asked.proxy.download(origin.url("/slow"), expected=BODY)
    download.open()
    gate.wait_reached()
    os.kill(asked.proxy.pid, signal.SIGTERM)
    until(lambda: asked.ask("GET /health/ready").status == 503)
    for _ in range(10):
        reply = asked.ask("GET /health/ready")
        assert (reply.status, reply.body) == (503, b"draining: the server is to stop\n")
        assert asked.ask("GET /health/live").status == 200
    gate.open()
    assert download.run().correct
    assert asked.proxy.terminate() == 0


def test_without_a_store_it_is_not_ready_and_says_why(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin()
    served(asked, origin, 3)
    folder = asked.proxy.cache_dir
    folder.rename(folder.with_name("aside"))
    folder.touch()
    asked.proxy.kill_worker(asked.proxy.worker_pids()[0])
    until(lambda: asked.ask("GET /health/ready").status == 503)
    assert b"there is no store" in asked.ask("GET /health/ready").body
    assert asked.ask("GET /health/live").status == 200
    assert asked.total("pyproxycache_store_up") == 0
    assert asked.total(REQUESTS, way="proxy") == 3
    assert asked.ask("POST /purge?all=yes").status == 503
    folder.unlink()
    folder.with_name("aside").rename(folder)
    until(lambda: asked.ask("GET /health/ready").status == 200)
    served(asked, origin, 1)
    assert asked.total(REQUESTS, way="proxy") == 4


def test_it_answers_while_all_request_threads_are_busy(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin(threads=4)
    gates, downloads = [], []
    for number in range(12):
        origin.put(f"/slow-{number}", b"late", cache_control="no-store")
        gates.append(origin.gate(f"/slow-{number}"))
        downloads.append(asked.proxy.download(origin.url(f"/slow-{number}")))
        downloads[-1].open()
    gates[0].wait_reached()
    for path in ("/health/ready", "/metrics", "/debug/stacks", "/config"):
        assert asked.ask(f"GET {path}").status == 200
    assert asked.ask("POST /purge?all=yes").status == 200
    for gate in gates:
        gate.open()
    for download in downloads:
        assert download.run().complete


def test_it_answers_while_clients_have_all_the_connections_there_are(tmp_path: Path) -> None:
    with reserved() as address:
        proxy = Proxy(tmp_path / "proxy", config=config_with(address))
        proxy.command = ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *proxy.command]
        with proxy as running, contextlib.ExitStack() as kept:
            asked = Admin(running, address)
            for _ in range(300):
                client = kept.enter_context(socket.create_connection(running.address, 30))
                client.sendall(b"GET /half HTTP/1.1\r\n")
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert asked.ask(f"GET {path}").status == 200
            assert "Traceback" not in running.log()


def test_who_holds_connections_keeps_nobody_out(admin: MakeAdmin) -> None:
    asked = admin()
    with contextlib.ExitStack() as kept:
        for number in range(100):
            silent = kept.enter_context(socket.create_connection(asked.address, 30))
            if number % 2:
                silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert asked.ask("GET /health/live").status == 200
        assert asked.ask("GET /metrics").status == 200


def test_by_a_unix_socket(make_proxy: MakeProxy, tmp_path: Path) -> None:
    place = tmp_path / "admin.sock"
    proxy = make_proxy(config={"admin": {"listen": f"unix:{place}"}})
    asked = Admin(proxy, str(place))
    assert asked.ask("GET /health/ready", "Host: whatever").body == b"ok\n"
    assert asked.total("pyproxycache_workers") == 1


def purged(asked: Admin, line: str, **parts: Any) -> int:
    reply = asked.ask(line, **parts)
    assert reply.status == 200, reply.body
    return int(json.loads(reply.body)["purged"])


def test_purges_by_url_prefix_pattern_group_and_all(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin(workers=2)
    paths = ["/a/1", "/a/2", "/b/1", "/b/2.deb", "/c", "/d"]
    grouped = [("Cache-Groups", '"these"')]

    def fill() -> None:
        for path in paths:
            origin.put(path, path.encode(), headers=grouped if path == "/c" else [], **FRESH)
            assert asked.proxy.get(origin.url(path)).body == path.encode()

    fill()
    url = origin.url
    assert purged(asked, f"POST /purge?url={url('/a/1')}&url={url('/a/2')}") == 2
    assert purged(asked, f"PURGE /purge?url={url('/a/1')}") == 0
    assert purged(asked, f"POST /purge?pattern=*.deb&pattern={url('/none')}") == 1
    assert purged(asked, f"POST /purge?prefix={url('/b/')}") == 1
    assert purged(asked, "POST /purge?group=these&origin=http://other.example/") == 0
    assert purged(asked, f"POST /purge?group=these&origin={url('/')}") == 1
    assert purged(asked, "POST /purge?all=yes") == 1
    origin.forget()
    fill()
    assert len(origin.requests) == len(paths), "each is fetched anew, whatever memory has"
    form = f"url={url('/a/1')}&url={url('/a/2')}".encode()
    fields = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}")
    with_form = asked.ask("POST /purge", *fields, body=form)
    assert json.loads(with_form.body) == {"purged": 2}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?url=",
        "?url=nothing",
        "?url=ftp://host/",
        "?prefix=",
        "?prefix=host/",
        "?all=",
        "?all=no",
        "?all=yes&url=http://host/",
        "?url=http://host/&prefix=http://host/",
        "?url=http://host/&origin=http://host/",
        "?group=a&group=b",
        "?group=a&origin=x",
        "?everything=yes",
        "?url=http://host/&token=x",
        "?" + "&".join(["url=http://host/"] * 1001),
    ],
    ids=lambda query: query[:40] or "nothing",
)
def test_a_purge_of_nothing_certain_is_refused(admin: MakeAdmin, origin: Origin, query: str) -> None:
    asked = admin()
    served(asked, origin, 1)
    assert asked.ask(f"POST /purge{query}").status == 400
    assert asked.total("pyproxycache_store_entries") == 1


def test_a_purge_is_never_a_get(admin: MakeAdmin, origin: Origin) -> None:
    asked = admin()
    served(asked, origin, 1)
    for method in ("GET", "HEAD", "DELETE", "PUT", "OPTIONS"):
        assert asked.ask(f"{method} /purge?all=yes").status == 405
    assert asked.ask("POST /metrics").status == 405
    assert asked.total("pyproxycache_store_entries") == 1


def test_stacks_name_threads_and_show_no_values(admin: MakeAdmin) -> None:
    asked = admin()
    assert asked.proxy.get("/").status  # so that its poller runs
    shown = asked.ask("GET /debug/stacks?secret-in-the-query").body.decode()
    assert "thread MainThread" in shown
    assert "thread admin" in shown
    assert "poller.py" in shown
    assert "secret-in-the-query" not in shown


@pytest.fixture
def many_files() -> Iterator[None]:
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, was[1]), was[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, was)


@pytest.mark.usefixtures("many_files")
def test_who_takes_the_addresses_of_stacks_ends_no_worker(admin: MakeAdmin) -> None:
    """All users can see the name in them once a worker listens, and the next process ids."""
    asked = admin(workers=2)
    until(lambda: len(workers_told(asked)) == 2)
    first, second = asked.proxy.worker_pids()
    listening = f"@pyproxycache-stacks-([0-9a-f]+)-{first}$"
    found = re.search(listening, Path("/proc/net/unix").read_text(), re.MULTILINE)
    assert found is not None
    newest = int(Path("/proc/loadavg").read_text().split()[-1])
    with contextlib.ExitStack() as held:
        for pid in range(newest + 1, newest + 2000):
            held.enter_context(socket.socket(socket.AF_UNIX)).bind(teller_address(found[1], pid))
        asked.proxy.kill_worker(second)
        until(lambda: "other workers cannot show this one's stacks" in asked.proxy.log())
        replaced = asked.proxy.worker_pids()
        assert first in replaced
        assert len(replaced) == 2
        told = asked.ask("GET /debug/stacks").body.decode()
        assert all(f"worker {pid}" in told for pid in replaced)
