"""Who waits holds no thread: a worker with two of them answers whatever else is asked."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from harness import Proxy
from load import Download
from origin import Generated, Origin
from raw import Conversation, request
from scripted import Scripted, until_gone

MakeProxy = Callable[..., Proxy]

BODY = Generated(300_000, seed=3)


@contextlib.contextmanager
def many(downloads: list[Download]) -> Iterator[list[Download]]:
    for download in downloads:
        download.open()
    yield downloads
    for download in downloads:
        download.close()


def answers_others(proxy: Proxy, origin: Origin, count: int = 6) -> None:
    """Misses of other URLs are answered, whichever worker gets them."""
    for number in range(count):
        path = f"/other-{threading.get_ident()}-{number}"
        origin.put(path, b"other", cache_control="max-age=60")
        assert proxy.get(origin.url(path), timeout=10.0).body == b"other"


@pytest.mark.parametrize("workers", [1, 2])
def test_followers_of_a_head_that_does_not_come(
    make_proxy: MakeProxy, origin: Origin, workers: int
) -> None:
    origin.put("/slow", BODY, cache_control="max-age=60")
    gate = origin.gate("/slow")
    proxy = make_proxy(workers=workers, threads=4)
    # They differ in what decides nothing.
    agents = [[("User-Agent", f"agent/{number}")] for number in range(24)]
    url = origin.url("/slow")
    with many([proxy.download(url, agent, expected=BODY) for agent in agents]) as downloads:
        gate.wait_reached()
        answers_others(proxy, origin)
        gate.open()
        for download in downloads:
            assert download.run().correct, download.error
    assert origin.count("/slow") == 1


def test_followers_that_leave(make_proxy: MakeProxy, origin: Origin, tmp_path: object) -> None:
    origin.put("/slow", BODY, cache_control="max-age=60")
    gate = origin.gate("/slow")
    proxy = make_proxy(threads=4)
    url = origin.url("/slow")
    stays = proxy.download(url, expected=BODY).start()
    gate.wait_reached()
    agents = [[("User-Agent", f"agent/{number}")] for number in range(12)]
    with many([proxy.download(url, agent) for agent in agents]):
        answers_others(proxy, origin, 1)
    answers_others(proxy, origin, 1)
    gate.open()
    assert stays.join().correct
    assert origin.count("/slow") == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"cache_control": "no-store"}, 200),
        ({"headers": (("Vary", "User-Agent"),), "cache_control": "max-age=60"}, 200),
        ({"status": 503}, 503),
    ],
    ids=["not storable", "varies", "fails"],
)
def test_what_becomes_of_them(
    make_proxy: MakeProxy, origin: Origin, options: dict[str, object], status: int
) -> None:
    origin.put("/slow", b"body", **options)
    gate = origin.gate("/slow")
    proxy = make_proxy(threads=4)
    agents = [[("User-Agent", f"agent/{number}")] for number in range(12)]
    with many([proxy.download(origin.url("/slow"), agent) for agent in agents]) as downloads:
        gate.wait_reached()
        answers_others(proxy, origin, 1)
        gate.open()
        for download in downloads:
            download.run()
            assert (download.status, download.complete) == (status, True), download.error


class Accepting:
    """An origin that takes connections and never answers; `gone` counts those that ended."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.accepted = self.gone = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Accepting:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def wait(self, ready: Callable[[Accepting], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: ready(self), 20), (self.accepted, self.gone)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._hold, args=(self._server.accept()[0],), daemon=True).start()

    def _hold(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            with self._changed:
                self.accepted += 1
                self._changed.notify_all()
            while sock.recv(65536):
                pass
        with self._changed:
            self.gone += 1
            self._changed.notify_all()


@contextlib.contextmanager
def silent_origins(count: int) -> Iterator[list[str]]:
    """Their URLs: they take connections, and never answer."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256)) for _ in range(count)
        ]
        yield [f"http://127.0.0.1:{server.getsockname()[1]}" for server in servers]


@contextlib.contextmanager
def asking(
    proxy: Proxy, urls: list[str], *fields: str, client: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """Requests on their way, each on a connection of its own; closed in the end."""
    with contextlib.ExitStack() as stack:
        made = []
        for url in urls:
            sock = socket.create_connection(proxy.address, 10, source_address=(client, 0))
            made.append(stack.enter_context(sock))
            sock.sendall(request(f"GET {url}", *fields))
        yield made


def test_a_silent_origin_holds_up_no_other_one(make_proxy: MakeProxy, origin: Origin) -> None:
    proxy = make_proxy(threads=8, config={"memory": 0})
    origin.put("/stored", b"stored", cache_control="max-age=600")
    assert proxy.get(origin.url("/stored")).body == b"stored"
    with silent_origins(1) as (url,), asking(proxy, [f"{url}/{number}" for number in range(40)]):
        answers_others(proxy, origin)
        assert proxy.get(origin.url("/stored"), timeout=10.0).body == b"stored"
        assert origin.count("/stored") == 1


def test_a_client_that_floods_holds_up_no_other_one(make_proxy: MakeProxy, origin: Origin) -> None:
    proxy = make_proxy(threads=8)
    with silent_origins(10) as silent:
        urls = [f"{url}/{number}" for number in range(6) for url in silent]
        with asking(proxy, urls, client="127.0.0.2"):
            answers_others(proxy, origin)


@pytest.mark.parametrize("upload", [False, True])
def test_a_client_that_floods_an_origin_keeps_nobody_from_it(
    make_proxy: MakeProxy, origin: Origin, *, upload: bool
) -> None:
    """Neither by what the origin does not answer, nor by content that it does not send."""
    proxy = make_proxy(threads=8)
    origin.put("/slow", b"slow", cache_control="no-store")
    gate = origin.gate("/slow")
    url = origin.url("/slow")
    line = request(f"POST {url}", "Content-Length: 9", body=b"" if upload else b"123456789")
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            sock = socket.create_connection(proxy.address, 10, source_address=("127.0.0.2", 0))
            stack.enter_context(sock).sendall(line)
        if not upload:
            gate.wait_reached()
        answers_others(proxy, origin)
        gate.open()


LEAVING = {"limits": {"half_closed": "0.1s"}}


@pytest.mark.parametrize(
    "fields", [(), ("Connection: upgrade", "Upgrade: websocket")], ids=["http", "upgrade"]
)
def test_a_client_that_leaves_holds_no_thread(make_proxy: MakeProxy, fields: tuple[str, ...]) -> None:
    proxy = make_proxy(threads=8, config=LEAVING)
    with Accepting() as origin:
        with asking(proxy, [f"{origin.url}/{number}" for number in range(40)], *fields):
            origin.wait(lambda it: it.accepted == 3)  # a client's share of an origin
        origin.wait(lambda it: it.gone == it.accepted)
        wait_for_connections(proxy, 0)
        # Those that waited for their turn have left as well, and were never asked for.
        assert origin.accepted < 40
        with asking(proxy, [f"{origin.url}/later"]):
            origin.wait(lambda it: it.accepted > it.gone)


@pytest.mark.parametrize("agents", [("one", "one"), ("one", "other")], ids=["parked", "following"])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_others_wait_for_goes_on(
    make_proxy: MakeProxy, origin: Origin, agents: tuple[str, str], workers: int
) -> None:
    origin.put("/shared", BODY, cache_control="max-age=60")
    gate = origin.gate("/shared")
    proxy = make_proxy(workers=workers, threads=8, config=LEAVING)
    url = origin.url("/shared")
    first, second = ([("User-Agent", agent)] for agent in agents)
    leaves = proxy.download(url, first)
    leaves.open()
    gate.wait_reached()
    stay = [proxy.download(url, second, expected=BODY).start() for _ in range(4)]
    wait_for_connections(proxy, 5)
    answers_others(proxy, origin, 2)  # by then each of them has been looked at
    leaves.close()
    time.sleep(1.5)  # in which it would be broken off
    gate.open()
    assert all(each.join().correct for each in stay)
    assert origin.count("/shared") == 1


def test_a_client_that_leaves_a_silent_body(make_proxy: MakeProxy) -> None:
    """By a reset; one that only ends its side may still wait for the rest."""

    def begin(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        until_gone(connection)
        gone.set()

    gone = threading.Event()
    with Scripted([begin]) as origin:
        proxy = make_proxy(threads=8, config=LEAVING)
        with Conversation(proxy.address) as client:
            assert client.send(request(f"GET {origin.url()}")).head().status == 200
            client.finish()
            assert not gone.wait(1.5)
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert gone.wait(10)


def test_an_unsafe_request_is_not_broken_off(make_proxy: MakeProxy) -> None:
    """What it changes is to be known, whoever is still there to hear of it."""
    proxy = make_proxy(threads=8, config=LEAVING)
    with Accepting() as origin:
        with socket.create_connection(proxy.address, 10) as sock:
            sock.sendall(request(f"DELETE {origin.url}/a"))
            origin.wait(lambda it: it.accepted == 1)
        with asking(proxy, [f"{origin.url}/b"]):
            origin.wait(lambda it: it.accepted == 2)
        origin.wait(lambda it: it.gone == 1)


def test_who_ends_its_side_of_an_unsafe_request_is_answered(make_proxy: MakeProxy, origin: Origin) -> None:
    origin.put("/slow", BODY)
    gate = origin.gate("/slow")
    proxy = make_proxy(threads=8, config=LEAVING)
    with Conversation(proxy.address) as client:
        client.send(request(f"POST {origin.url('/slow')}", "Content-Length: 4", body=b"body")).finish()
        gate.wait_reached()
        time.sleep(1.5)  # in which another request would be given up
        gate.open()
        assert client.reply().body == BODY.slice(0, BODY.size)


@pytest.mark.parametrize("framing", ["Content-Length: 20", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("method", ["POST", "QUERY"])
def test_slow_uploads_take_nobodys_place(
    make_proxy: MakeProxy, origin: Origin, method: str, framing: str
) -> None:
    chunks = "chunked" in framing
    begin, rest = (b"5\r\nhello\r\n", b"6\r\n there\r\n0\r\n\r\n") if chunks else (b"h" * 10, b"h" * 10)
    origin.put("/upload", b"thanks")
    proxy = make_proxy(threads=16)
    with contextlib.ExitStack() as stack:
        uploads = [stack.enter_context(Conversation(proxy.address)) for _ in range(16)]
        for upload in uploads:
            upload.send(request(f"{method} {origin.url('/upload')}", framing, "Content-Type: text/plain"))
            upload.send(begin)
        answers_others(proxy, origin)
        for upload in uploads:
            assert upload.send(rest).reply().body == b"thanks"


def wait_for_connections(proxy: Proxy, count: int) -> None:
    """Until the workers hold so many connections of clients."""
    for _ in range(200):
        if sum(map(proxy.connections, proxy.worker_pids())) == count:
            return
        time.sleep(0.05)
    raise TimeoutError


def test_nobody_waits_for_another_clients_turn_at_an_origin(make_proxy: MakeProxy, origin: Origin) -> None:
    origin.put("/slow", BODY, cache_control="no-store")
    origin.put("/fast", b"fast", cache_control="max-age=60")
    gate = origin.gate("/slow")
    proxy = make_proxy(threads=16)
    sent = request(f"GET {origin.url('/fast')}")
    slow = [proxy.download(origin.url(f"/slow?{number}")) for number in range(12)]
    with many(slow), Conversation(proxy.address) as waiting, socket.socket() as other:
        gate.wait_reached()
        waiting.send(sent)
        time.sleep(0.3)
        assert origin.count("/fast") == 0  # its turn comes when the slow ones are done
        other.settimeout(5.0)
        other.bind(("127.0.0.2", 0))
        other.connect(proxy.address)
        other.sendall(sent)
        assert other.recv(65536).endswith(b"\r\n\r\nfast")
        gate.open()
        assert waiting.reply().body == b"fast"
