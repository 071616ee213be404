"""Hits from memory and answers sent without threads, by the whole server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy, Reply, fetch
from namespaces import HERE, NETWORK, elsewhere
from origin import Generated, Origin
from raw import Conversation, request

MB = 1_000_000
FRESH = "max-age=3600"

MakeProxy = Callable[..., Proxy]


def head_for(url: str, *fields: str) -> bytes:
    return request(f"GET {url}", *fields)


def remembered(proxy: Proxy, url: str, *fields: str, times: int = 3) -> Reply:
    """The last of so many answers on one connection: it comes from memory where that is possible."""
    with Conversation(proxy.address) as client:
        for _ in range(times):
            reply = client.send(head_for(url, *fields)).reply()
    return reply


@contextmanager
def unread(proxy: Proxy, url: str, count: int) -> Iterator[list[socket.socket]]:
    """So many clients that have sent a request and read nothing of the answer."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            client.settimeout(20)
            client.connect(proxy.address)
            client.sendall(head_for(url, "Connection: close"))
            clients.append(client)
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 200"
        yield clients


def rest_of(client: socket.socket) -> bytes:
    """The body, whose head began with what was read already."""
    data = b"".join(iter(lambda: client.recv(1 << 18), b""))
    return data.partition(b"\r\n\r\n")[2]


def everyone_is_served(proxy: Proxy, origin: Origin, name: str) -> None:
    """A hit is answered, and so are misses of several bodies."""
    assert remembered(proxy, origin.url("/page")).body == b"page"
    for number in range(5):
        assert proxy.get(f"{origin.url('/page')}?{name}{number}").body == b"page"


@pytest.fixture
def page(origin: Origin) -> str:
    origin.put("/page", b"page", etag='"1"', cache_control=FRESH)
    return origin.url("/page")


# Freshness.


@pytest.mark.parametrize("workers", [1, 2])
def test_each_second_is_told_and_none_too_many(origin: Origin, make_proxy: MakeProxy, workers: int) -> None:
    """Age counts the seconds, the time to live counts them down, and the next one is not served stale."""
    origin.put("/short", b"short", cache_control="max-age=3")
    proxy = make_proxy(workers=workers)
    url, seen = origin.url("/short"), set()
    time.sleep(-time.time() % 1)  # Date has whole seconds: at the end of one, nothing is 0 s old for long
    first = time.time()
    with Conversation(proxy.address) as client:
        client.send(head_for(url)).reply()
        stored = time.time()
        while origin.count("/short") == 1:
            asked = time.time()
            reply = client.send(head_for(url)).reply()
            if "hit" not in (said := reply.get("Cache-Status") or ""):
                break
            age, ttl = int(reply.get("Age") or ""), int(said.partition("ttl=")[2].partition(";")[0])
            assert int(asked - stored) <= age <= time.time() - first + 1
            assert age + ttl in (2, 3)
            seen.add(age)
            time.sleep(0.01)
    assert seen == {0, 1, 2}
    assert time.time() - first >= 1.9
    assert origin.count("/short") == 2


# Threads.


def drips(address: tuple[str, int], beginning: bytes) -> socket.socket:
    client = socket.create_connection(address, 10)
    client.sendall(beginning)
    return client


def test_heads_that_come_slowly_hold_no_threads(origin: Origin, make_proxy: MakeProxy, page: str) -> None:
    proxy = make_proxy(threads=2)
    remembered(proxy, page)
    whole = head_for(page)
    beginnings = [whole[:count] for count in (1, 2, 10, len(whole) - 1, len(whole) - 3)]
    beginnings += [b"\r\n", b"\r\n" + whole[:9], whole.replace(b"/1.1", b"/1.3")[:-2], b"X" * 8000]
    beginnings += [head_for(page, f"X: {'y' * 10_000}", f"Y: {'z' * 10_000}")[:-1]]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(drips(proxy.address, beginning))) for beginning in beginnings
        ]
        everyone_is_served(proxy, origin, "dripping")
        for byte in whole[1:]:
            clients[0].sendall(bytes((byte,)))
        assert clients[0].recv(12) == b"HTTP/1.1 200"


def test_clients_that_read_nothing_hold_no_threads(origin_process: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(20 * MB, seed=3)
    origin_process.put("/page", b"page", cache_control=FRESH)
    origin_process.put("/large", body, cache_control=FRESH)
    proxy = make_proxy(threads=2)
    url = origin_process.url("/large")
    assert proxy.download(url, expected=body).run().correct
    with unread(proxy, url, 50) as clients:
        everyone_is_served(proxy, origin_process, "unread")
        for client in clients[::25]:
            assert rest_of(client) == body.slice(0, body.size)
        everyone_is_served(proxy, origin_process, "again")


def test_followers_that_read_slowly_hold_no_threads(origin_process: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(12 * MB, seed=4)
    origin_process.put("/page", b"page", cache_control=FRESH)
    origin_process.put("/growing", body, cache_control=FRESH)
    gate = origin_process.gate("/growing", at=8 * MB)
    proxy = make_proxy(threads=4)
    with unread(proxy, origin_process.url("/growing"), 100) as clients:
        gate.wait_reached()
        everyone_is_served(proxy, origin_process, "growing")
        gate.open()
        for client in clients[::50]:
            assert rest_of(client) == body.slice(0, body.size)
    assert origin_process.count("/growing") == 1


def test_what_is_passed_through_holds_no_threads_for_slow_clients(
    origin_process: Origin, make_proxy: MakeProxy
) -> None:
    body = Generated(20 * MB, seed=5)
    origin_process.put("/page", b"page", cache_control=FRESH)
    origin_process.put("/own", body, cache_control="no-store")
    proxy = make_proxy(threads=2)
    with unread(proxy, origin_process.url("/own"), 10) as clients:
        everyone_is_served(proxy, origin_process, "own")
        assert rest_of(clients[7]) == body.slice(0, body.size)


def test_hits_wait_for_no_thread(origin: Origin, make_proxy: MakeProxy, page: str) -> None:
    """All of them are busy; a hit whose head was never seen before is answered nevertheless."""
    proxy = make_proxy(threads=2, config={"limits": {"origin_requests": 2}})
    remembered(proxy, page)
    origin.put("/held", b"held", cache_control=FRESH)
    gate = origin.gate("/held")
    with Conversation(proxy.address) as first, Conversation(proxy.address) as second:
        first.send(head_for(origin.url("/held?1")))
        second.send(head_for(origin.url("/held?2")))
        origin.wait_for("/held", 2)
        for number in range(3):
            assert remembered(proxy, page, f"User-Agent: {number}").body == b"page"
        gate.open()
        assert (first.reply().body, second.reply().body) == (b"held", b"held")


def test_many_idle_connections(origin: Origin, make_proxy: MakeProxy, page: str) -> None:
    proxy = make_proxy(workers=2, threads=4)
    remembered(proxy, page)
    with ExitStack() as stack:
        for _ in range(3000):
            stack.enter_context(closing(socket.create_connection(proxy.address, 10)))
        everyone_is_served(proxy, origin, "idle")
        assert sum(map(proxy.connections, proxy.worker_pids())) >= 3000
    everyone_is_served(proxy, origin, "after")


# What is told of them.


def lines_of(path: Path, form: str) -> list[dict[str, str]]:
    """The URL, status, bytes (with the head: `whole`), agent and result of each line."""
    found = []
    for line in path.read_text(encoding="ascii").splitlines():
        if form == "json":
            one = json.loads(line)
            facts = {
                "url": one["url"],
                "status": one["status"],
                "body": one["bytes"],
                "whole": one["bytes"] + one["head_bytes"],
                "agent": one["user_agent"],
                "result": one["squid"],
                "ttl": one["ttl"],
            }
        elif form == "squid":
            _time, _took, _client, result, size, _method, url, *_ = line.split()
            code, _, status = result.partition("/")
            facts = {"url": url, "status": status, "whole": size, "result": code}
        else:
            match = re.fullmatch(r'\S+ - - \[.*?\] "GET (\S+) \S+" (\d+) (\S+)(?: "(.*?)" "(.*?)")?', line)
            assert match is not None, line
            facts = {"url": match[1], "status": match[2], "body": match[3]}
            if form == "combined":
                facts["agent"] = match[5]
        found.append({name: str(value) for name, value in facts.items()})
    return found


@pytest.mark.parametrize("form", ["squid", "common", "combined", "json"])
def test_every_hit_is_told_of(origin: Origin, make_proxy: MakeProxy, tmp_path: Path, form: str) -> None:
    """Lines, counters and accesses: the same head, other heads, a varying answer, large and slow ones."""
    path = tmp_path / "access.log"
    proxy = make_proxy(workers=2, config={"log": {"access": str(path), "format": form}})
    origin.put("/page", b"page", cache_control="max-age=100")
    origin.put("/varied", b"varied", cache_control=FRESH, headers=[("Vary", "X-Kind")])
    origin.put("/large", b"x" * 300_000, cache_control=FRESH)
    asked: list[tuple[str, str, tuple[str, ...]]] = []
    for number in range(40):
        asked += [("/page", "same", ()), ("/page", f"agent-{number}", ())]
        asked += [("/varied", "same", (f"X-Kind: {number % 2}",)), ("/large", f"large-{number % 3}", ())]
    told: Counter[tuple[str, str, str]] = Counter()
    with Conversation(proxy.address) as client:
        for path_asked, agent, fields in asked:
            raw = head_for(origin.url(path_asked), f"User-Agent: {agent}", *fields)
            reply = client.send(raw).reply()
            assert reply.status == 200
            head = sum(len(f"{name}: {value}\r\n") for name, value in reply.headers) + len(
                "HTTP/1.1 200 OK\r\n\r\n"
            )
            told[path_asked, agent, str(head + len(reply.body))] += 1
        # Small ones that the client does not take at once.
        small = head_for(origin.url("/varied"), "User-Agent: slow", "X-Kind: 0")
        client.send(small * 500)
        for _ in range(500):
            assert client.reply().body == b"varied"
    proxy.terminate()
    lines = lines_of(path, form)
    assert len(lines) == len(asked) + 500
    urls = Counter(line["url"].removeprefix(origin.url("")) for line in lines)
    assert urls == Counter(one[0] for one in asked) + Counter({"/varied": 500})
    if "agent" in lines[0]:
        agents = Counter(line["agent"] for line in lines)
        assert agents == Counter(one[1] for one in asked) + Counter({"slow": 500})
    if "whole" in lines[0]:
        sizes = Counter(line["whole"] for line in lines if line["url"] != origin.url("/varied"))
        expected: Counter[str] = Counter()
        for (path_asked, _agent, size), count in told.items():
            expected[size] += count if path_asked != "/varied" else 0
        assert +sizes == +expected
    with closing(sqlite3.connect(proxy.cache_dir / "index.sqlite")) as index:
        counters = dict(index.execute("SELECT name, value FROM counters"))
        accesses = dict(index.execute("SELECT key, sum(hits) FROM entries GROUP BY key"))
    assert counters["requests"] == len(lines)
    sent = 40 * 2 * 4 + 40 * 6 + 40 * 300_000 + 500 * 6
    assert counters["bytes.sent"] == sent
    misses = counters["requests.fetched"]
    assert counters["requests.hit"] == len(lines) - misses == sum(accesses.values())


def test_the_log_has_the_time_to_live_of_the_moment(
    origin: Origin, make_proxy: MakeProxy, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    proxy = make_proxy(config={"log": {"access": str(path), "format": "json"}})
    origin.put("/page", b"page", cache_control="max-age=100")
    said = []
    with Conversation(proxy.address) as client:
        client.send(head_for(origin.url("/page"))).reply()
        while len(set(said)) < 3:
            status = client.send(head_for(origin.url("/page"))).reply().get("Cache-Status") or ""
            said.append(status.partition("ttl=")[2].partition(";")[0])
            time.sleep(0.02)
    proxy.terminate()
    assert [line["ttl"] for line in lines_of(path, "json")[1:]] == said


@pytest.mark.parametrize("memory", ["0", "1M"])
def test_how_much_is_kept_is_configured(origin: Origin, make_proxy: MakeProxy, memory: str) -> None:
    proxy = make_proxy(config={"memory": memory})
    for number in range(200):
        origin.put(f"/{number}", b"%d" % number * 5000, cache_control=FRESH)
    for _ in range(3):
        for number in range(200):
            assert remembered(proxy, origin.url(f"/{number}"), times=2).body == b"%d" % number * 5000
    assert sum(origin.count(f"/{number}") for number in range(200)) == 200


# Who may see it.


def test_memory_knows_who_may_ask_and_for_what(origin: Origin, tmp_path: Path) -> None:
    with elsewhere() as host, Origin(HERE) as outer:
        origin.put("/secret", b"inner", cache_control=FRESH)
        outer.put("/page", b"outer", cache_control=FRESH)
        inner_url, outer_url = origin.url("/secret"), outer.url("/page")

        def ask(proxy: Proxy, url: str) -> Reply:
            def asking() -> Reply:
                with Conversation((HERE, proxy.address[1])) as client:
                    for _ in range(3):
                        reply = client.send(head_for(url)).reply()
                        if reply.get("Connection") == "close":
                            break
                return reply

            return host.call(asking)

        closed: dict[str, Any] = {"allow": ["127.0.0.0/8"]}
        open_to_it: dict[str, Any] = {"allow": ["127.0.0.0/8", NETWORK]}
        for name, config, statuses in (("closed", closed, (403, 403)), ("open", open_to_it, (403, 200))):
            with Proxy(tmp_path / name, host="0.0.0.0", config=config) as proxy:
                near = Conversation(("127.0.0.1", proxy.address[1]))
                with near:
                    for url, expected in ((inner_url, b"inner"), (outer_url, b"outer")) * 3:
                        assert near.send(head_for(url)).reply().body == expected
                    assert (ask(proxy, inner_url).status, ask(proxy, outer_url).status) == statuses
                    assert near.send(head_for(inner_url)).reply().body == b"inner"


# Ends.


def test_who_is_being_sent_an_answer_gets_it_whole_at_a_stop(
    origin_process: Origin, make_proxy: MakeProxy
) -> None:
    body = Generated(20 * MB, seed=6)
    origin_process.put("/large", body, cache_control=FRESH)
    proxy = make_proxy()
    url = origin_process.url("/large")
    assert proxy.download(url, expected=body).run().correct
    ends = [os.pidfd_open(pid) for pid in proxy.worker_pids()]
    with unread(proxy, url, 3) as clients:
        os.kill(proxy.pid, signal.SIGTERM)
        for client in clients:
            assert rest_of(client) == body.slice(0, body.size)
    for end in ends:
        os.close(end)
    assert proxy.terminate() == 0


def test_hits_go_on_over_a_reload(origin: Origin, make_proxy: MakeProxy, page: str) -> None:
    proxy = make_proxy(workers=2, config={"memory": "8M"})
    remembered(proxy, page)
    old = set(proxy.worker_pids())
    proxy.reload()
    while old & set(proxy.worker_pids()):
        assert fetch(proxy.address, page).body == b"page"
    assert remembered(proxy, page).body == b"page"
    assert origin.count("/page") == 1


def test_a_blob_that_was_cut_short_breaks_off_once(origin: Origin, make_proxy: MakeProxy) -> None:
    """Then it is found damaged, and fetched again."""
    proxy = make_proxy(workers=1)
    body = bytes(range(256)) * 400
    origin.put("/large", body, etag='"1"', cache_control=FRESH)
    for _ in range(3):
        assert proxy.get(origin.url("/large")).body == body
    (blob,) = (path for path in (proxy.cache_dir / "blobs").rglob("*") if path.is_file())
    os.truncate(blob, 1000)
    assert not proxy.get(origin.url("/large")).complete
    assert proxy.get(origin.url("/large")).body == body
    assert origin.count("/large") == 2
