"""CONNECT: bytes both ways, every way to end, who may go where, and what is told of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy
from namespaces import HERE, NETWORK, elsewhere
from origin import Generated
from raw import Conversation, request
from scripted import OK, Answer, Scripted, read_head, until_gone
from waiting import until

MakeProxy = Callable[..., Proxy]


def everything(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(1 << 16):
        received += data
    return received


def exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (data := connection.recv(count - len(received))):
        received += data
    return received


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1 << 16):
        connection.sendall(data)


class End(socketserver.ThreadingTCPServer):
    """What a tunnel leads to: runs a function for each connection, all at a time."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, serve: Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.accepted = 0
        self._serve = serve
        super().__init__((host, 0), socketserver.BaseRequestHandler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request: Any, _address: Any) -> None:
        self.accepted += 1
        request.settimeout(20)
        with contextlib.suppress(OSError):
            self._serve(request)

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        super().__exit__(*exc)


def to(port: int, **options: Any) -> dict[str, Any]:
    """A configuration that allows tunnels to this port."""
    return {"connect": {"ports": [port], **options}}


def connected(proxy: Proxy, end: str, early: bytes = b"") -> socket.socket:
    """A tunnel's client, whose first bytes are sent with the head."""
    client = socket.create_connection(proxy.address, 10)
    client.sendall(request(f"CONNECT {end}") + early)
    status_line, *lines = read_head(client).decode().split("\r\n")
    assert status_line == "HTTP/1.1 200 Connection established"
    names = {line.partition(":")[0].lower() for line in lines}
    assert not names & {"content-length", "transfer-encoding", "connection", "cache-status"}
    assert {"via", "date"} <= names
    return client


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def refused(proxy: Proxy, end: str, *fields: str, behind: bytes = b"") -> tuple[int, str, str]:
    """Status, Proxy-Status and text of the answer, behind which nothing comes."""
    with Conversation(proxy.address) as client:
        reply = client.send(request(f"CONNECT {end}", *fields) + behind).reply()
        assert (reply.get("Connection"), client.rest()) == ("close", b"")
    return reply.status, reply.get("Proxy-Status") or "", reply.body.decode()


# Bytes both ways.


def test_all_bytes_go_both_ways(make_proxy: MakeProxy) -> None:
    body = Generated(3 << 20, seed=2).slice(0, 3 << 20)
    with End(echo) as end:
        proxy = make_proxy(config=to(end.port))
        # The first words come with the head, as a ClientHello may.
        with connected(proxy, f"127.0.0.1:{end.port}", early=b"hello") as client:
            assert exactly(client, 5) == b"hello"
            sending = threading.Thread(target=client.sendall, args=(body,))
            sending.start()
            assert exactly(client, len(body)) == body
            sending.join(10)
            client.shutdown(socket.SHUT_WR)
            assert everything(client) == b""


def test_what_comes_with_the_head_may_be_much(make_proxy: MakeProxy) -> None:
    early = Generated(200_000, seed=3).slice(0, 200_000)
    with End(echo) as end:
        proxy = make_proxy(config=to(end.port))
        with connected(proxy, f"127.0.0.1:{end.port}", early) as client:
            client.shutdown(socket.SHUT_WR)
            assert everything(client) == early


def test_a_far_end_may_speak_first(make_proxy: MakeProxy) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        until_gone(connection)

    with End(greet) as end:
        proxy = make_proxy(config=to(end.port))
        with connected(proxy, f"127.0.0.1:{end.port}") as client:
            assert exactly(client, 11) == b"220 ready\r\n"


@pytest.mark.parametrize("first", ["client", "far end"])
def test_one_direction_may_end_before_the_other(make_proxy: MakeProxy, first: str) -> None:
    def ends_first(connection: socket.socket) -> None:
        connection.sendall(b"all of it")
        connection.shutdown(socket.SHUT_WR)
        got.append(everything(connection))

    def ends_last(connection: socket.socket) -> None:
        got.append(everything(connection))
        connection.sendall(b"all of it")

    got: list[bytes] = []
    with End(ends_last if first == "client" else ends_first) as end:
        proxy = make_proxy(config=to(end.port))
        with connected(proxy, f"127.0.0.1:{end.port}") as client:
            if first == "far end":
                assert everything(client) == b"all of it"
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            assert everything(client) == (b"all of it" if first == "client" else b"")
        until(lambda: got == [b"question"])


def test_a_far_end_that_breaks_off_breaks_the_client(make_proxy: MakeProxy) -> None:
    def break_off(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    with End(break_off) as end:
        proxy = make_proxy(config=to(end.port))
        with connected(proxy, f"127.0.0.1:{end.port}") as client:
            client.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                everything(client)


def test_a_client_that_breaks_off_breaks_the_far_end(make_proxy: MakeProxy) -> None:
    errors: list[OSError] = []

    def wait(connection: socket.socket) -> None:
        try:
            connection.recv(1)
        except OSError as error:
            errors.append(error)

    with End(wait) as end:
        proxy = make_proxy(config=to(end.port))
        reset(connected(proxy, f"127.0.0.1:{end.port}"))
        until(lambda: errors)
    assert isinstance(errors[0], ConnectionResetError)


@pytest.mark.parametrize("last", ["bytes", "its end"])
def test_a_client_that_breaks_off_is_missed_though_nothing_can_be_passed_on(
    make_proxy: MakeProxy, last: str
) -> None:
    told = threading.Event()

    def read_nothing(connection: socket.socket) -> None:
        poll = select.poll()
        poll.register(connection, 0)
        if poll.poll(20_000):
            told.set()

    with End(read_nothing) as end:
        proxy = make_proxy(config=to(end.port))
        client = connected(proxy, f"127.0.0.1:{end.port}")
        if last == "bytes":
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):  # all buffers on the way are full by then
                client.sendall(bytes(64 << 20))
        else:
            client.shutdown(socket.SHUT_WR)
            assert not told.wait(0.2)  # the tunnel's other direction goes on
        reset(client)
        assert told.wait(10)


def test_who_reads_nothing_holds_up_nobody(make_proxy: MakeProxy) -> None:
    with End(echo) as end:
        proxy = make_proxy(config=to(end.port))
        name = f"127.0.0.1:{end.port}"
        with connected(proxy, name) as greedy, connected(proxy, name) as other:
            (worker,) = proxy.worker_pids()
            before = proxy.rss(worker)
            greedy.settimeout(0.5)
            with pytest.raises(TimeoutError):  # all buffers on the way are full by then
                greedy.sendall(bytes(64 << 20))
            other.sendall(b"there?")
            assert exactly(other, 6) == b"there?"
            assert proxy.rss(worker) - before < 8 << 20


def test_a_long_silence_is_the_end(make_proxy: MakeProxy) -> None:
    with End(until_gone) as end:
        proxy = make_proxy(config=to(end.port, idle="1s"))
        with connected(proxy, f"127.0.0.1:{end.port}") as client:
            assert everything(client) == b""


def test_events_come_as_they_are_sent(make_proxy: MakeProxy) -> None:
    """Through a tunnel, and through the cache: each event before the next is sent."""

    def events(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            connection.sendall(b"data: %d\n\n" % number)
            assert is_read.wait(10)
            is_read.clear()

    is_read = threading.Event()
    with End(events) as end:
        proxy = make_proxy(config=to(end.port))
        for through_tunnel in (True, False):
            if through_tunnel:
                client = connected(proxy, f"127.0.0.1:{end.port}", request("GET /events"))
            else:
                client = socket.create_connection(proxy.address, 10)
                client.sendall(request(f"GET http://127.0.0.1:{end.port}/events", "Connection: close"))
            with client:
                read_head(client)
                for number in range(3):
                    event = b"data: %d\n\n" % number
                    received = b""
                    while event not in received:
                        data = client.recv(100)
                        assert data
                        received += data
                    is_read.set()


# Where a tunnel may lead.

MALFORMED = {
    "a path": "h:443/x",
    "a URL": "http://h:443",
    "a user": "user@h:443",
    "a user and password": "user:s3cret@h:443",
    "no port": "h",
    "an empty port": "h:",
    "port 0": "h:0",
    "port 70000": "h:70000",
    "a name for a port": "h:https",
    "a sign": "h:+443",
    "no host": ":443",
    "no host, no port": ":",
    "an asterisk": "*",
    "a path alone": "/",
    "IPv6 without brackets": "::1:443",
    "IPv6 without an end": "[::1:443",
    "IPv6 with a zone": "[fe80::1%25eth0]:443",
    "no IPv6": "[h]:443",
    "a query": "h:443?x",
    "a fragment": "h:443#x",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("cache")) as running:
        yield running


@pytest.mark.parametrize("target", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_host_and_port(cache: Proxy, target: str) -> None:
    # What was sent for the tunnel is no request.
    status, error, text = refused(cache, target, behind=request("GET /api/v1/health/"))
    assert (status, "error=http_request_error" in error) == (400, True)
    assert "s3cret" not in text + error


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("h:443", ("Content-Length: 3",), 400),
        ("h:443", ("Transfer-Encoding: chunked",), 400),
        ("h:443 HTTP/1.0", ("Content-Length: 3",), 400),
        ("h:443", ("Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        ("h:443", ("Content-Length: -1",), 400),
        ("h:25", (), 403),
        ("h:8443", ("Content-Length: 0",), 403),
        ("[::1]:22", (), 403),
        ("no-such-host.invalid:443", (), 502),
        ("no-such-host.invalid:443 HTTP/1.0", (), 502),
        ("no-such-host.invalid:80", ("Content-Length: 0",), 502),
    ],
)
def test_what_is_refused(cache: Proxy, line: str, fields: tuple[str, ...], status: int) -> None:
    found, _error, text = refused(cache, line, *fields, behind=b"\x16\x03\x01hello")
    assert found == status
    assert ("connect.ports" in text) == (status == 403)


def test_it_may_be_asked_in_the_older_version(make_proxy: MakeProxy) -> None:
    with End(echo) as end:
        proxy = make_proxy(config=to(end.port))
        with connected(proxy, f"127.0.0.1:{end.port} HTTP/1.0", early=b"hello") as client:
            assert exactly(client, 5) == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "LocalHost", "::1"])
def test_names_and_addresses_of_both_families(make_proxy: MakeProxy, host: str) -> None:
    with End(echo, "::1" if ":" in host else "127.0.0.1") as end:
        proxy = make_proxy(config=to(end.port))
        name = f"[{host}]" if ":" in host else host
        with connected(proxy, f"{name}:{end.port}", early=b"hello") as client:
            assert exactly(client, 5) == b"hello"


def test_one_request_may_follow_others(make_proxy: MakeProxy) -> None:
    with End(echo) as end, Scripted([OK]) as origin:
        proxy = make_proxy(config=to(end.port))
        with Conversation(proxy.address) as client:
            assert client.send(request(f"GET {origin.url()}")).reply().body == b"right"
            assert client.send(request(f"CONNECT 127.0.0.1:{end.port}") + b"hello").head().status == 200
            assert client.finish().rest() == b"hello"


def test_the_proxy_itself_is_no_end(make_proxy: MakeProxy) -> None:
    proxy = make_proxy()
    host, port = proxy.address
    proxy.configure(to(port))
    proxy.terminate()
    proxy.command += ["-c", str(proxy.config_file)]
    proxy.start()
    for name in (host, "localhost", "127.1", "0.0.0.0"):
        status, error, _text = refused(proxy, f"{name}:{port}")
        assert (status, "error=proxy_loop_detected" in error) == (508, True)


def test_an_end_that_is_not_there(make_proxy: MakeProxy) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        proxy = make_proxy(config=to(port))
        status, error, _text = refused(proxy, f"127.0.0.1:{port}", behind=b"hello")
    assert (status, "error=connection_refused" in error) == (502, True)


def test_an_end_that_does_not_answer(make_proxy: MakeProxy) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        proxy = make_proxy(config={**to(port), "fetch": {"connect_timeout": "1s"}})
        status, error, _text = refused(proxy, f"127.0.0.1:{port}")
        for filler in fillers:
            filler.close()
    assert (status, "error=connection_timeout" in error) == (504, True)


def test_the_guard_judges_the_address(tmp_path: Path) -> None:
    def tried(host: str, port: int) -> int:
        with Conversation((HERE, proxy.address[1])) as client:
            return client.send(request(f"CONNECT {host}:{port}")).head().status

    with elsewhere() as outside, End(until_gone) as inner, End(until_gone, HERE) as outer:
        config = {"allow": ["127.0.0.0/8", NETWORK], **to(inner.port)}
        config["connect"]["ports"].append(outer.port)
        with Proxy(tmp_path, host="::", config=config) as proxy:
            for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"):
                assert outside.call(tried, host, inner.port) == 403
            assert outside.call(tried, HERE, outer.port) == 200
        until(lambda: outer.accepted == 1)  # its thread may come to it later than the answer
        assert inner.accepted == 0


def test_who_may_not_ask_gets_no_tunnel(make_proxy: MakeProxy) -> None:
    with End(echo) as end:
        proxy = make_proxy(config={**to(end.port), "allow": ["192.0.2.0/24"]})
        assert refused(proxy, f"127.0.0.1:{end.port}")[0] == 403
        assert end.accepted == 0


def test_a_reverse_proxy_opens_none(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(arguments=["--upstream", "http://127.0.0.1:1/"])
    assert refused(proxy, "127.0.0.1:443")[0] == 501


# Through a parent.


def through(parent: Scripted, **more: Any) -> dict[str, Any]:
    return {"parent": {"url": str(parent.url("")), **more}}


def test_a_parent_is_asked_for_a_tunnel(make_proxy: MakeProxy, tmp_path: Path) -> None:
    def tunnel(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\nwelcome ")
        echo(connection)

    credentials = tmp_path / "credentials"
    credentials.write_text("me:s3cret%40\n")
    with Scripted([tunnel], [OK]) as parent:
        proxy = make_proxy(config=through(parent, credentials=str(credentials)))
        with Conversation(proxy.address) as client:
            client.send(
                request(
                    "CONNECT far.invalid:443",
                    "Proxy-Authorization: Basic ours",
                    "X-Secret: s3cret",
                    "Via: 1.0 first",
                )
                + b"hello"
            )
            assert client.head().status == 200
            assert client.finish().rest() == b"welcome hello"
        assert proxy.get("http://far.invalid/").body == b"right"
    line, *fields = parent.heads[0].decode().strip().split("\r\n")
    assert (line, fields[0]) == ("CONNECT far.invalid:443 HTTP/1.1", "Host: far.invalid:443")
    assert fields[1].startswith("Via: 1.0 first, 1.1 pyproxycache-")
    assert fields[2:] == ["Proxy-Authorization: Basic bWU6czNjcmV0JTQw"]
    assert b"\r\nProxy-Authorization: Basic bWU6czNjcmV0JTQw\r\n" in parent.heads[1]
    assert "s3cret" not in proxy.log()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            502,
            "407 Proxy",
        ),
        (b"HTTP/1.1 403 Not on Sundays\r\nContent-Length: 0\r\n\r\n", 403, "403 Not on Sundays"),
        (b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", 504, "504 Gateway"),
        (b"HTTP/1.1 503 Full\r\n\r\n", 502, "503 Full"),
        (b"no HTTP\r\n", 502, "status line"),
        (b"", 502, "ended"),
    ],
)
def test_a_parent_that_refuses(make_proxy: MakeProxy, answer: Answer, status: int, said: str) -> None:
    with Scripted([answer]) as parent:
        proxy = make_proxy(config=through(parent))
        found, error, text = refused(proxy, "far.invalid:443")
    assert (found, said in text, said in error) == (status, True, True)
    assert "far.invalid:443" in text


def test_what_the_parent_is_not_asked_for(make_proxy: MakeProxy) -> None:
    with End(echo) as end, Scripted() as parent:
        config = {**through(parent, **{"except": ["127.0.0.0/8"]}), **to(end.port)}
        proxy = make_proxy(config=config)
        with connected(proxy, f"127.0.0.1:{end.port}", early=b"hello") as client:
            assert exactly(client, 5) == b"hello"
        assert refused(proxy, "far.invalid:22")[0] == 403
        assert parent.accepted == 0


def test_parents_of_each_other(make_proxy: MakeProxy) -> None:
    one, other = make_proxy(), make_proxy()
    for proxy, parent in ((one, other), (other, one)):
        proxy.configure({"parent": parent.url})
        proxy.terminate()
        proxy.command += ["-c", str(proxy.config_file)]
        proxy.start()
    status, error, _text = refused(one, "far.invalid:443")
    assert (status, "error=proxy_loop_detected" in error) == (508, True)


# What is told of it, and what it costs.


def logged(proxy: Proxy, log: Path) -> dict[str, Any]:
    until(lambda: log.exists() and log.read_text())
    line: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
    return line


def test_it_is_one_request_with_its_bytes(make_proxy: MakeProxy, tmp_path: Path) -> None:
    log = tmp_path / "access.log"

    def answer(connection: socket.socket) -> None:
        everything(connection)
        connection.sendall(b"y" * 7)

    with End(answer) as end:
        proxy = make_proxy(config={**to(end.port), "log": {"access": str(log), "format": "json"}})
        name = f"localhost:{end.port}"
        with connected(proxy, name, b"x" * 1000) as client:
            time.sleep(0.2)
            client.shutdown(socket.SHUT_WR)
            assert everything(client) == b"y" * 7
        line = logged(proxy, log)
    assert {key: line[key] for key in ("method", "url", "status", "result", "squid", "peer")} == {
        "method": "CONNECT",
        "url": name,
        "status": 200,
        "result": "tunnelled",
        "squid": "TCP_TUNNEL",
        "peer": "127.0.0.1",
    }
    assert [line[key] for key in ("bytes", "received_bytes", "uploaded_bytes")] == [7, 7, 1000]
    assert 0.2 < line["seconds"] < 10
    assert not line["aborted"]


def test_squid_has_a_word_for_it(make_proxy: MakeProxy, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with End(echo, "::1") as end:
        proxy = make_proxy(config={**to(end.port), "log": {"access": str(log)}})
        with connected(proxy, f"[::1]:{end.port}", b"x") as client:
            client.shutdown(socket.SHUT_WR)
            assert everything(client) == b"x"
        refused(proxy, "user:s3cret@h:1")
        refused(proxy, "h:1")
        proxy.terminate()
    words = [line.split() for line in log.read_text().splitlines()]
    assert sorted((line[3], line[6], line[8], *line[10:]) for line in words) == [
        ("NONE_NONE/400", "-@h:1", "HIER_NONE/-", "[BadRequest]"),
        ("TCP_DENIED/403", "h:1", "HIER_NONE/-", "[PortNotAllowed]"),
        ("TCP_TUNNEL/200", f"[::1]:{end.port}", "HIER_DIRECT/::1"),
    ]
    assert "s3cret" not in log.read_text() + proxy.log()


def test_hundreds_hold_no_thread(make_proxy: MakeProxy) -> None:
    with End(echo) as end, contextlib.ExitStack() as stack:
        proxy = make_proxy(threads=4, config=to(end.port))
        name = f"127.0.0.1:{end.port}"
        clients = [stack.enter_context(connected(proxy, name)) for _ in range(200)]
        (worker,) = proxy.worker_pids()
        assert len(list(Path(f"/proc/{worker}/task").iterdir())) < 50
        for number, client in enumerate(clients):
            client.sendall(b"%07d" % number)
        for number, client in enumerate(clients):
            assert exactly(client, 7) == b"%07d" % number
        for client in clients:
            client.close()
        until(lambda: proxy.connections(worker) == 0)


def test_a_stop_does_not_wait_for_who_says_nothing(make_proxy: MakeProxy) -> None:
    with End(until_gone) as end:
        proxy = make_proxy(config=to(end.port))
        with connected(proxy, f"127.0.0.1:{end.port}") as client:
            os.kill(proxy.pid, signal.SIGTERM)
            assert everything(client) == b""
        assert proxy.terminate(timeout=10.0) == 0


def test_a_stop_ends_who_goes_on_after_the_grace(make_proxy: MakeProxy, tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    log = tmp_path / "access.log"
    with End(talk) as end:
        options = {"fetch": {"drain": "3s"}, "log": {"access": str(log), "format": "json"}}
        proxy = make_proxy(config={**to(end.port), **options})
        with connected(proxy, f"127.0.0.1:{end.port}") as client:
            os.kill(proxy.pid, signal.SIGTERM)
            began = time.monotonic()
            with pytest.raises(ConnectionResetError):  # which no client takes for the end
                everything(client)
            assert 1.0 < time.monotonic() - began < 15.0
        assert proxy.terminate(timeout=10.0) == 0
    assert json.loads(log.read_text())["aborted"]
