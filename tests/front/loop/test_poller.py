"""The poller gives each event to the connection that it is of."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path

import pytest
from inprocess import Front
from origin import Origin
from raw import Conversation, request

from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.listener import Listener
from pyproxycache.front.loop.poller import Poller
from pyproxycache.options import ConnectOptions

COUNT = 8
RESET = struct.pack("ii", 1, 0)


def test_an_event_of_a_closed_connection_is_not_taken_for_one_of_its_successor(tmp_path: Path) -> None:
    """The system gives the numbers of closed descriptors to those who come next, in the same moment too."""
    made: list[ClientLoop] = []

    def keep(loop: ClientLoop) -> ClientLoop:
        made.append(loop)
        return loop

    with socket.create_server(("127.0.0.1", 0)) as end, contextlib.ExitStack() as clients:
        port = end.getsockname()[1]
        front = Front(tmp_path, connect=ConnectOptions(ports=(port,)))
        front.serve_with(lambda make: lambda loop: make(keep(loop)))
        with front:
            near, far = [], []
            for _ in range(COUNT):
                near.append(clients.enter_context(Conversation(front.address)))
                near[-1].send(request(f"CONNECT 127.0.0.1:{port}")).head()
                far.append(end.accept()[0])
            is_busy, may_go_on = threading.Event(), threading.Event()

            def be_busy() -> None:
                is_busy.set()
                may_go_on.wait(10)

            front.poller.post(be_busy)
            assert is_busy.wait(10)
            for sock in far:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                sock.close()
            new = [clients.enter_context(Conversation(front.address)) for _ in range(COUNT)]
            for client in near:
                client.finish()
            may_go_on.set()
            for client in new:
                assert client.send(request("GET /api/v1/health/")).reply().status == 200
            connections = made[0].connections.values()
            assert [connection.ends for connection in connections] == [False] * COUNT


def test_what_threads_have_posted_is_done_before_events_that_came_with_it(
    tmp_path: Path, origin: Origin
) -> None:
    """A request that was sent because of an answer finds the poller knowing of the answer."""
    made: list[ClientLoop] = []

    def keep(loop: ClientLoop) -> ClientLoop:
        made.append(loop)
        return loop

    origin.put("/a", b"a", cache_control="max-age=60")
    ask = request(f"GET {origin.url('/a')}")
    front = Front(tmp_path)
    front.serve_with(lambda make: lambda loop: make(keep(loop)))
    with front, Conversation(front.address) as client:
        for _ in range(3):  # from memory in the end
            client.send(ask).reply()
        is_busy, may_go_on = threading.Event(), threading.Event()

        def be_busy() -> None:
            is_busy.set()
            may_go_on.wait(10)

        def close_all() -> None:
            for connection in list(made[0].connections.values()):
                made[0].close(connection)

        front.poller.post(be_busy)
        assert is_busy.wait(10)
        client.send(ask)
        front.poller.post(close_all)
        may_go_on.set()
        with pytest.raises(ConnectionResetError):  # for its request was not read
            client.rest()


@pytest.mark.parametrize("address", [("127.0.0.1", 0), None])
def test_what_is_sent_leaves_at_once(address: tuple[str, int] | None, tmp_path: Path) -> None:
    """On all connections that are accepted; on a Unix socket there is nothing to set."""
    with socket.socket(socket.AF_INET if address else socket.AF_UNIX) as sock, Front(tmp_path) as front:
        sock.bind(address or str(tmp_path / "socket"))
        sock.listen()
        Poller([Listener(sock)], front.make_sessions, 1)
        if address:
            with socket.create_connection(sock.getsockname()), sock.accept()[0] as accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
