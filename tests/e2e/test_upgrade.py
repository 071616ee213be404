"""Upgrade passed through, by a reverse proxy and by a forward proxy."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificate
from harness import Proxy
from origin import Generated
from raw import Conversation, request
from records import Records
from scripted import OK, Scripted, read_head, until_gone
from waiting import until

MakeProxy = Callable[..., Proxy]

ASKING = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: abc")
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade, X-Hop\r\n"
    b"X-Hop: 1\r\nSec-WebSocket-Accept: cba\r\n\r\n"
)


def echo(connection: socket.socket) -> None:
    """Switches, and gives back what comes until the other side ends."""
    connection.sendall(SWITCHING + b"welcome")
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def before(make_proxy: MakeProxy, origin: Scripted, **options: object) -> Proxy:
    return make_proxy(arguments=["--upstream", str(origin.url("/base"))], **options)


def exactly(client: Conversation, count: int) -> bytes:
    """So many bytes behind the head."""
    return b"".join(bytes(piece) for piece in client.wire.exactly(count))


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_both_ways_are_open_until_the_client_ends(
    make_proxy: MakeProxy, certificate: Certificate, secured: bool
) -> None:
    fetch = {"fetch": {"ca_file": str(certificate.certificate)}} if secured else {}
    with Scripted([echo], tls=certificate.server() if secured else None) as origin:
        proxy = before(make_proxy, origin, config=fetch)
        with Conversation(proxy.address) as client:
            # Its first words come at once, before there is an answer.
            head = client.send(request("GET /chat?x", *ASKING) + b"hello").head()
            assert (head.status, head.get("Upgrade"), head.get("Connection")) == (
                101,
                "websocket",
                "upgrade",
            )
            assert (head.get("Sec-WebSocket-Accept"), head.get("X-Hop")) == ("cba", None)
            assert (head.get("Content-Length"), head.get("Cache-Status")) == (None, None)
            assert exactly(client, 12) == b"welcomehello"
            body = Generated(1 << 20, seed=2).slice(0, 1 << 20)
            sending = threading.Thread(target=client.send, args=(body,))
            sending.start()
            assert exactly(client, len(body)) == body
            sending.join(10)
            assert client.finish().rest() == b""
    lines = origin.heads[0].decode().split("\r\n")
    assert lines[0] == "GET /base/chat?x HTTP/1.1"
    assert {"Connection: upgrade", "Upgrade: websocket"} <= set(lines)
    assert "Sec-WebSocket-Key: abc" in lines


def test_it_ends_with_the_origin(make_proxy: MakeProxy) -> None:
    with Scripted([SWITCHING + b"bye"]) as origin:
        proxy = before(make_proxy, origin)
        with Conversation(proxy.address) as client:
            assert client.send(request("GET /", *ASKING)).head().status == 101
            assert client.rest() == b"bye"


def test_an_origin_that_breaks_off_breaks_the_client(make_proxy: MakeProxy) -> None:
    def reset(connection: socket.socket) -> None:
        connection.sendall(SWITCHING)
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Scripted([reset]) as origin:
        proxy = before(make_proxy, origin)
        with Conversation(proxy.address) as client:
            assert client.send(request("GET /", *ASKING)).head().status == 101
            client.send(b"x")
            with pytest.raises(ConnectionResetError):
                client.rest()


def test_an_origin_that_stays_with_http_is_just_passed_on(make_proxy: MakeProxy) -> None:
    refusal = (
        b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nother"
    )
    with Scripted([refusal, OK]) as origin:
        proxy = before(make_proxy, origin)
        with Conversation(proxy.address) as client:
            reply = client.send(request("GET /", *ASKING)).reply()
            assert (reply.status, reply.body, reply.get("Connection")) == (426, b"other", "keep-alive")
            # Nothing of it is kept but the connections.
            assert client.send(request("GET /")).reply().body == b"right"
        assert (len(origin.heads), origin.accepted) == (2, 1)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("GET /", ("Connection: upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x")),
        ("GET /", ("Upgrade: websocket",)),
        ("POST /", ("Connection: upgrade", "Upgrade: websocket", "Content-Length: 0")),
        ("GET / HTTP/1.0", ("Connection: upgrade", "Upgrade: websocket")),
    ],
)
def test_what_is_ignored(make_proxy: MakeProxy, line: str, fields: tuple[str, ...]) -> None:
    with Scripted([OK]) as origin:
        proxy = before(make_proxy, origin)
        with Conversation(proxy.address) as client:
            assert client.send(request(line, *fields)).reply().body == b"right"
    sent = origin.heads[0].lower()
    assert not any(name in sent for name in (b"upgrade", b"websocket", b"h2c", b"http2-settings"))


def test_a_forward_proxy_passes_it_on(make_proxy: MakeProxy) -> None:
    with Scripted([echo]) as origin:
        proxy = make_proxy()
        with Conversation(proxy.address) as client:
            head = client.send(request(f"GET {origin.url('/chat')}", *ASKING) + b"hello").head()
            assert (head.status, head.get("Upgrade")) == (101, "websocket")
            assert exactly(client, 12) == b"welcomehello"
            assert client.finish().rest() == b""
    lines = origin.heads[0].decode().split("\r\n")
    assert lines[0] == "GET /chat HTTP/1.1"
    assert {"Connection: upgrade", "Upgrade: websocket"} <= set(lines)


def test_behind_the_caches_address_it_is_ignored(make_proxy: MakeProxy) -> None:
    with Scripted([OK]) as origin:
        proxy = make_proxy()
        with Conversation(proxy.address) as client:
            reply = client.send(request(f"GET /{origin.url()}", *ASKING)).reply()
            assert (reply.status, reply.body) == (200, b"right")
    assert b"upgrade" not in origin.heads[0].lower()


def test_an_origin_that_switches_unasked_is_refused(make_proxy: MakeProxy) -> None:
    with Scripted([SWITCHING]) as origin:
        proxy = before(make_proxy, origin)
        assert proxy.get("/").status == 502


@pytest.mark.parametrize(
    ("raw", "status", "error"),
    [
        (b"", 502, "connection_terminated"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, "http_protocol_error"),
    ],
)
def test_errors_are_answered_in_http(make_proxy: MakeProxy, raw: bytes, status: int, error: str) -> None:
    with Scripted([raw]) as origin:
        proxy = before(make_proxy, origin)
        with Conversation(proxy.address) as client:
            reply = client.send(request("GET /", *ASKING)).reply()
            assert reply.status == status
            assert f"error={error}" in (reply.get("Proxy-Status") or "")


def test_who_may_not_ask_does_not_reach_the_origin(make_proxy: MakeProxy) -> None:
    with Scripted([echo]) as origin:
        proxy = before(make_proxy, origin, config={"allow": ["192.0.2.0/24"]})
        with Conversation(proxy.address) as client:
            assert client.send(request("GET /", *ASKING)).reply().status == 403
        assert origin.accepted == 0


def test_the_proxy_itself_is_no_origin(make_proxy: MakeProxy) -> None:
    first = make_proxy()
    netloc = first.netloc
    first.terminate()
    first.command += ["--upstream", f"http://{netloc}/"]
    first.start()
    with Conversation(first.address) as client:
        assert client.send(request("GET /", *ASKING)).reply().status == 508


def test_it_is_one_request_with_its_bytes(make_proxy: MakeProxy, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with Scripted([echo]) as origin:
        proxy = before(make_proxy, origin, config={"log": {"access": str(log), "format": "json"}})
        with Conversation(proxy.address) as client:
            client.send(request("GET /chat", *ASKING) + b"x" * 1000).head()
            assert exactly(client, 1007).endswith(b"x" * 1000)
            assert client.finish().rest() == b""
        proxy.terminate()
    (line,) = log.read_text().splitlines()
    assert "/base/chat" in line
    assert {101, 1007} <= set(json.loads(line).values())


def test_a_client_that_left_before_the_switch_is_told_of_as_such(
    make_proxy: MakeProxy, tmp_path: Path
) -> None:
    """As one that left before any other answer."""
    log = tmp_path / "access.log"
    with Scripted([until_gone]) as origin:
        config = {"log": {"access": str(log), "format": "json"}, "limits": {"half_closed": "0.1s"}}
        proxy = before(make_proxy, origin, config=config)
        with Conversation(proxy.address) as client:
            client.send(request("GET /chat", *ASKING))
            until(lambda: origin.heads)
        until(lambda: log.exists() and log.read_text())
    told = json.loads(log.read_text())
    assert (told["result"], told["aborted"]) == ("refused", True)


def test_an_origin_that_is_not_there_is_told_of_with_its_error(
    make_proxy: MakeProxy, tmp_path: Path
) -> None:
    """As for any other request."""
    log = tmp_path / "access.log"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config = {"log": {"access": str(log), "format": "json"}, "connect": {"ports": [port]}}
    proxy = make_proxy(config=config)
    url = f"http://127.0.0.1:{port}/"
    for line in (f"GET {url}", f"CONNECT 127.0.0.1:{port}"):
        with Conversation(proxy.address) as client:
            assert client.send(request(line, *ASKING)).head().status == 502
    assert proxy.get(url).status == 502
    proxy.terminate()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["result"], one["detail"]) for one in told] == [("failed", "UpstreamUnreachable")] * 3


def test_a_stop_does_not_wait_for_who_says_nothing(make_proxy: MakeProxy) -> None:
    def switch(connection: socket.socket) -> None:
        connection.sendall(SWITCHING)
        until_gone(connection)

    with Scripted([switch]) as origin:
        proxy = before(make_proxy, origin)
        with Conversation(proxy.address) as client:
            assert client.send(request("GET /", *ASKING)).head().status == 101
            os.kill(proxy.pid, signal.SIGTERM)
            assert client.rest() == b""
        assert proxy.terminate(timeout=10.0) == 0


class Echoing(socketserver.ThreadingTCPServer):
    """Switches on each connection, all at a time, and gives back what comes."""

    daemon_threads = True
    request_queue_size = 512

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read_head(self.request)
            echo(self.request)

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        super().__exit__(*exc)


def test_hundreds_hold_no_thread(make_proxy: MakeProxy) -> None:
    with Echoing() as origin, contextlib.ExitStack() as stack:
        url = f"http://127.0.0.1:{origin.server_address[1]}/"
        proxy = make_proxy(threads=4, arguments=["--upstream", url])
        clients = [stack.enter_context(Conversation(proxy.address)) for _ in range(300)]
        for client in clients:
            client.send(request("GET /chat", *ASKING))
        for client in clients:
            assert client.head().status == 101
            assert exactly(client, 7) == b"welcome"
        (worker,) = proxy.worker_pids()
        assert len(list(Path(f"/proc/{worker}/task").iterdir())) < 50
        for number, client in enumerate(clients):
            client.send(b"%07d" % number)
        for number, client in enumerate(clients):
            assert exactly(client, 7) == b"%07d" % number
        for client in clients:
            assert client.finish().rest() == b""
        wait_until(lambda: proxy.connections(worker) == 0)


def test_one_who_reads_nothing_holds_up_nobody(make_proxy: MakeProxy) -> None:
    """Nor does the worker take in what nobody takes out."""
    with Echoing() as origin:
        url = f"http://127.0.0.1:{origin.server_address[1]}/"
        proxy = make_proxy(threads=4, arguments=["--upstream", url])
        with Conversation(proxy.address) as greedy, Conversation(proxy.address) as other:
            for client in (greedy, other):
                assert client.send(request("GET /chat", *ASKING)).head().status == 101
                assert exactly(client, 7) == b"welcome"
            (worker,) = proxy.worker_pids()
            before = proxy.rss(worker)
            greedy.connection.settimeout(0.5)
            with pytest.raises(TimeoutError):  # all buffers on the way are full by then
                greedy.send(bytes(64 << 20))
            assert exactly(other.send(b"there?"), 6) == b"there?"
            assert proxy.rss(worker) - before < 8 << 20


def wait_until(ready: Callable[[], bool]) -> None:
    for _ in range(200):
        if ready():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_an_origin_that_sends_tls_without_content_holds_up_nobody(
    make_proxy: MakeProxy, certificate: Certificate, tmp_path: Path
) -> None:
    """Its bytes are read by the poller, which all clients of the worker have in common."""
    flooded, context = threading.Event(), certificate.server()
    context.num_tickets = 0

    def flood(listener: socket.socket) -> None:
        with listener.accept()[0] as connection, contextlib.suppress(OSError):
            records = Records(connection, context, "", tmp_path / "keys")
            connection.sendall(records.content(SWITCHING))
            while True:
                connection.sendall(b"".join(records.key_update(wants_one=False) for _ in range(500)))
                flooded.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        flooding = threading.Thread(target=flood, args=(listener,))
        flooding.start()
        host, port = listener.getsockname()
        proxy = make_proxy(
            config={"fetch": {"ca_file": str(certificate.certificate)}},
            arguments=["--upstream", f"https://{host}:{port}"],
        )
        with Conversation(proxy.address) as client:
            assert client.send(request("GET /chat", *ASKING)).head().status == 101
            assert flooded.wait(10)
            for _ in range(20):
                with Conversation(proxy.address) as other:
                    assert other.send(request("OPTIONS *", "Max-Forwards: 0")).reply().status == 200
            with pytest.raises(ConnectionResetError):
                client.rest()
        flooding.join(10)
        assert not flooding.is_alive(), "who sends nothing but that is given up"
