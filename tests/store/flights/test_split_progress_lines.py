"""What one process tells another of a download is the same in any pieces."""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from cachedir import URL, entry
from hypothesis import strategies as st
from splits import Property, Tried, everywhere, somewhere

from pyproxycache.errors import UpstreamTimeout
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.flights.flight_server import FlightServer
from pyproxycache.store.flights.remote_reader import RemoteFlightReader, Terms
from pyproxycache.store.values import End, Progress

TOKEN = "token"
FLIGHT = FlightKey(URL, (("accept", None),))
ASKED = json.dumps([TOKEN, URL, FLIGHT.variant]).encode() + b"\n"
BODY = b"123456789"
HEAD = replace(entry(URL, Latin="é", Emoji="\u2026"), peer="127.0.0.1")
STATES = {
    "stored": [
        Progress(entry=HEAD, length=9),
        Progress(entry=HEAD, length=9, size=4),
        Progress(entry=HEAD, length=9, size=9, end=End.STORED),
    ],
    "begun anew": [
        Progress(entry=HEAD, size=3),
        Progress(generation=1, entry=replace(HEAD, size=7)),
        Progress(generation=1, entry=HEAD, size=9, end=End.UNSTORED),
    ],
    "no head": [Progress(), Progress(end=End.PASSED)],
    "failed": [Progress(), Progress(end=End.FAILED, error=UpstreamTimeout("too late,\n…"))],
}


class Told(LocalFlight):
    """A flight that keeps what was published of it."""

    def __init__(self) -> None:
        super().__init__(FLIGHT, TOKEN, lambda _claim: True)
        self.published: list[Progress] = []
        self.body_at_end: bytes | None = None

    def publish(self, progress: Progress) -> None:
        self.published.append(progress)
        super().publish(progress)

    def end_whole(self, body: bytes, progress: Progress) -> None:
        self.body_at_end = body
        super().end_whole(body, progress)


def send(connection: socket.socket, pieces: list[bytes], fds: list[int]) -> None:
    """Each piece when the one before was read, the descriptors with the first."""
    for piece in pieces:
        socket.send_fds(connection, [piece], fds) if fds else connection.sendall(piece)
        fds = []
        left = array.array("i", [1])
        while left[0]:
            fcntl.ioctl(connection, termios.TIOCOUTQ, left)
            os.sched_yield()


def recorded(states: list[Progress], body: Path) -> bytes:
    """What a flight server tells of a flight in these states, asked for byte by byte."""
    flight = LocalFlight(FLIGHT, TOKEN, lambda _claim: True)
    flight.open_file(os.open(body, os.O_RDONLY))
    flight.publish(states[0])
    name = f"recorded-{os.getpid()}-{os.urandom(4).hex()}"
    server = FlightServer(
        name, lambda token, key: flight if (token, key) == (TOKEN, FLIGHT) else None, 60.0
    )
    said = b""
    with socket.socket(socket.AF_UNIX) as follower:
        follower.connect(f"\0{name}")
        send(follower, [bytes([byte]) for byte in ASKED], [])
        for number, state in enumerate(states):
            if number:
                flight.publish(state)
            while said.count(b"}\n") < 1 + number:
                data, fds, _flags, _address = socket.recv_fds(follower, 1 << 16, 1)
                said += data
                for fd in fds:
                    os.close(fd)
    server.close()
    flight.leave()
    return said


class Leader:
    """A process that tells what was recorded, in pieces; it is this one."""

    def __init__(self, body: Path) -> None:
        self.owner = f"split-{os.getpid()}-{os.urandom(4).hex()}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{self.owner}")
        self._listener.listen()
        self._body = body
        self._pool = ThreadPoolExecutor(1)

    def tell(self, pieces: list[bytes]) -> tuple[list[str], bytes | None]:
        """All that a mirror publishes of it, and the body where that is told at the end."""
        Tried.count += 1
        flight = Told()
        telling = self._pool.submit(self._tell, pieces)
        RemoteFlightReader(flight, self.owner, Terms(10.0, 10.0), lambda _flight, _expired: None).start()
        last = None
        while last is None or last.end is None:
            last = flight.wait_change(last)
        telling.result(10)
        return [repr(progress) for progress in flight.published], flight.body_at_end

    def _tell(self, pieces: list[bytes]) -> None:
        follower, _address = self._listener.accept()
        with follower, self._body.open("rb") as file:
            asked = b""
            while not asked.endswith(b"\n"):
                asked += follower.recv(1 << 16)
            assert asked == ASKED
            send(follower, pieces, [file.fileno()])

    def close(self) -> None:
        self._listener.close()
        self._pool.shutdown()


@pytest.fixture(scope="module")
def leader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leader]:
    made = Leader(body_in(tmp_path_factory.mktemp("flight")))
    yield made
    made.close()


def body_in(folder: Path) -> Path:
    path = folder / "body"
    path.write_bytes(BODY)
    return path


@pytest.mark.parametrize("name", STATES)
def test_it_is_the_same_in_any_pieces(leader: Leader, tmp_path: Path, name: str) -> None:
    said = recorded(STATES[name], body_in(tmp_path))
    whole = leader.tell([said])
    assert len(whole[0]) == len(STATES[name])
    for pieces in everywhere(said):
        assert leader.tell(pieces) == whole, pieces
    for seed in range(20):
        assert leader.tell(somewhere(said, seed)) == whole, seed


@cache
def _body() -> Path:
    return body_in(Path(mkdtemp()))


def check_progress_lines(sizes: list[int], has_head: bool, end: End, seed: int) -> None:
    """Any progress of a download."""
    head = replace(HEAD, search="1" * (seed % 3000)) if has_head else None
    states = [Progress(entry=head, length=9 if has_head else None, size=size) for size in sorted(sizes)]
    states.append(replace(states[-1] if states else Progress(entry=head), end=end))
    said = recorded(states, _body())
    with closing(Leader(_body())) as leader:
        assert leader.tell(somewhere(said, seed)) == leader.tell([said])


ENDS = st.sampled_from([End.STORED, End.UNSTORED, End.BROKEN, End.PASSED, End.FRESHENED])
PROPERTIES = (
    Property(
        check_progress_lines,
        (st.lists(st.integers(0, 9), max_size=4), st.booleans(), ENDS, st.integers(0, 1 << 30)),
    ),
)


def test_any_progress_is_the_same_in_any_pieces() -> None:
    PROPERTIES[0].hold(50)
