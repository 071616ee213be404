"""An answer on its way through a socket that takes little at a time, plain and by TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from certificates import Certificate, make_certificate
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_bodies import There, Waited

from pyproxycache.body import Body, FileSlice, Piece, WouldBlock
from pyproxycache.errors import BrokenOff
from pyproxycache.front.loop.answer_writer import AnswerWriter, SendStatus
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.net.layered_tls import LayeredTls
from pyproxycache.net.stream import PlainStream, Stream

NOTHING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
HEAD = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
BYTES = bytes(range(256)) * 4096
CHUNKED = Framing(has_body=True, length=None, is_chunked=True, ends_connection=False)
TO_THE_END = Framing(has_body=True, length=None, is_chunked=False, ends_connection=True)
NO_BODY = Framing(has_body=False, length=None, is_chunked=False, ends_connection=False)


def of(length: int) -> Framing:
    return Framing(has_body=True, length=length, is_chunked=False, ends_connection=False)


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A file with BYTES."""
    path = tmp_path_factory.mktemp("sending") / "blob"
    path.write_bytes(BYTES)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "DNS:localhost")


class Pair:
    """Two ends: `sender` never blocks; `read` gives what its peer has by now."""

    def __init__(self, tls: Certificate | None = None, room: int = 4096) -> None:
        here, there = socket.socketpair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        for end in (here, there):
            end.setblocking(False)
        self.receiver = there
        self.sender: Stream = PlainStream(here)
        if tls is not None:
            context = ssl.create_default_context(cafile=tls.certificate)
            client = context.wrap_socket(there, server_hostname="localhost", do_handshake_on_connect=False)
            self.sender = layered = LayeredTls(
                self.sender, partial(tls.server().wrap_bio, server_side=True)
            )
            self.receiver = client
            shake(layered.shake, client.do_handshake)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sender.close()
        self.receiver.close()

    def read(self, most: int = 1 << 30) -> bytes:
        data = b""
        while len(data) < most:
            try:
                piece = self.receiver.recv(min(65536, most - len(data)))
            except NOTHING:
                break
            if not piece:
                break
            data += piece
        return data


def shake(*ends: Callable[[], None]) -> None:
    """Both handshakes, turn by turn."""
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            with contextlib.suppress(*NOTHING):
                end()
                waiting.remove(end)


def nobody() -> None:
    raise AssertionError("nobody waits")


def sending(pair: Pair, framing: Framing, body: Any, wake: Callable[[], None] = nobody) -> AnswerWriter:
    return AnswerWriter(pair.sender, HEAD, framing, There(body) if isinstance(body, tuple) else body, wake)


def drained(pair: Pair, it: AnswerWriter, step: int = 1 << 30, *, waits: bool = False) -> bytes:
    """Everything sent, read `step` bytes at a time whenever the socket is full."""
    data = b""
    while True:
        match it.advance(waits=waits):
            case SendStatus.DONE:
                return data + pair.read()
            case SendStatus.FULL:
                data += pair.read(step)
            case SendStatus.TURN:
                pass
            case send_status:
                raise AssertionError(send_status)


def chunks(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


class Script(Body):
    """A body of which each take does the next thing: gives a piece, raises, or (None) has none yet."""

    def __init__(self, *steps: Piece | type[BaseException] | BaseException | None) -> None:
        self.steps = list(steps)
        self.wakes: list[Callable[[], None]] = []
        self.nexts = 0

    def take(self, wake: Callable[[], None], /) -> Piece | None:
        if not self.steps:
            raise StopIteration
        step = self.steps.pop(0)
        if step is None:
            self.wakes.append(wake)
        elif not isinstance(step, bytes | FileSlice):
            raise step
        return step  # type: ignore[return-value]

    def __next__(self) -> Piece:
        self.nexts += 1
        if not self.steps:
            raise StopIteration
        step = self.steps.pop(0)
        assert isinstance(step, bytes | FileSlice)
        return step

    def close(self) -> None:
        self.steps.clear()


# All of it arrives.


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("room", [4096, 1 << 20])
def test_whatever_is_sent_arrives(blob: int, certificate: Certificate, tls: bool, room: int) -> None:
    file = FileSlice(blob, 1000, 700_000)
    cases: list[tuple[Framing, tuple[Piece, ...], bytes]] = [
        (of(5), (b"small",), b"small"),
        (of(0), (), b""),
        (of(300_000), (BYTES[:300_000],), BYTES[:300_000]),
        (of(700_000), (file,), BYTES[1000:701_000]),
        (of(700_010), (b"12345", file, b"67890"), b"12345" + BYTES[1000:701_000] + b"67890"),
        (TO_THE_END, (b"", file, b"x"), BYTES[1000:701_000] + b"x"),
        (CHUNKED, (b"a", file, b"", b"bc"), chunks([b"a", file.read(), b"bc"])),
        (CHUNKED, (), b"0\r\n\r\n"),
        (NO_BODY, (), b""),
    ]
    for framing, pieces, expected in cases:
        with Pair(certificate if tls else None, room) as pair:
            it = sending(pair, framing, pieces)
            assert drained(pair, it, 10_000) == HEAD + expected
            assert it.head_bytes == len(HEAD)
            assert it.sent == sum(p.count if isinstance(p, FileSlice) else len(p) for p in pieces)


@st.composite
def bodies(draw: st.DrawFn) -> list[tuple[bool, int, int]]:
    """Pieces: whether in a file, offset, bytes."""
    sizes = st.one_of(st.integers(0, 20), st.integers(0, 100_000))
    return draw(st.lists(st.tuples(st.booleans(), st.integers(0, 500_000), sizes), max_size=6))


@settings(max_examples=60)
@given(
    bodies(),
    st.sampled_from(["length", "chunked", "end"]),
    st.integers(500, 100_000),
    st.integers(1, 300_000),
)
@example([(True, 0, 500_000)] * 4, "chunked", 100_000, 1)
def test_pieces_arrive_unchanged_however_the_socket_takes_them(
    blob: int, pieces: list[tuple[bool, int, int]], kind: str, step: int, room: int
) -> None:
    made = tuple(FileSlice(blob, o, n) if in_file else BYTES[o : o + n] for in_file, o, n in pieces)
    data = [BYTES[o : o + n] for _, o, n in pieces]
    whole = b"".join(data)
    framing = {"length": of(len(whole)), "chunked": CHUNKED, "end": TO_THE_END}[kind]
    with Pair(room=room) as pair:
        it = sending(pair, framing, made)
        expected = chunks(data) if kind == "chunked" else whole
        assert drained(pair, it, step) == HEAD + expected
        assert (it.head_bytes, it.sent) == (len(HEAD), len(whole))


def test_what_was_sent_is_counted_on_the_way() -> None:
    with Pair() as pair:
        it = sending(pair, of(100_000), (BYTES[:100_000],))
        assert (it.head_bytes, it.sent) == (0, 0)
        assert it.advance(waits=False) is SendStatus.FULL
        arrived = len(pair.read())
        assert it.head_bytes == len(HEAD)
        assert it.sent == arrived - len(HEAD) > 0


# Content-Length is kept.


@pytest.mark.parametrize("pieces", [(b"12",), (b"1", b"2"), ()])
def test_a_body_that_is_short_breaks_off(pieces: tuple[bytes, ...]) -> None:
    with Pair() as pair, pytest.raises(BrokenOff, match=f"{5 - len(b''.join(pieces))} bytes before"):
        drained(pair, sending(pair, of(5), pieces))


def test_a_file_that_is_short_breaks_off(blob: int) -> None:
    with Pair(room=1 << 20) as pair, pytest.raises(BrokenOff):
        drained(pair, sending(pair, of(200), (FileSlice(blob, len(BYTES) - 100, 200),)))


def test_what_is_too_much_is_cut(blob: int) -> None:
    for pieces, whole in (
        ((b"12345678",), b"12345"),
        ((b"123", b"45678"), b"12345"),
        ((FileSlice(blob, 0, 100),), BYTES[:5]),
        ((b"12345", b"678"), b"12345"),
    ):
        with Pair() as pair:
            it = sending(pair, of(5), pieces)
            assert drained(pair, it) == HEAD + whole
            assert it.sent == 5


# Why it halts.


def test_it_is_full_and_goes_on_where_it_was() -> None:
    with Pair() as pair:
        it = sending(pair, of(50_000), (BYTES[:50_000],))
        assert it.advance(waits=False) is SendStatus.FULL
        assert it.advance(waits=False) is SendStatus.FULL
        assert drained(pair, it) == HEAD + BYTES[:50_000]


def test_others_come_in_turn(blob: int) -> None:
    with Pair(room=1 << 24) as pair:
        pair.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        it = sending(pair, of(8 * len(BYTES)), (FileSlice(blob, 0, len(BYTES)),) * 8)
        halts, data = [], b""
        while (send_status := it.advance(waits=False)) is not SendStatus.DONE:
            halts.append(send_status)
            data += pair.read()
        assert set(halts) <= {SendStatus.TURN, SendStatus.FULL}
        assert data + pair.read() == HEAD + BYTES * 8


def test_a_body_that_has_nothing_yet_is_awaited_without_a_thread() -> None:
    woken: list[int] = []
    script = Script(b"first", None, b"second", None)
    with Pair() as pair:
        it = sending(pair, of(11), script, lambda: woken.append(1))
        assert it.advance(waits=False) is SendStatus.AWAITING
        assert pair.read() == HEAD + b"first"
        (wake,) = script.wakes
        assert woken == []
        wake()
        assert woken == [1]
        assert it.advance(waits=False) is SendStatus.DONE  # the last byte is the end: nothing more is taken
        assert pair.read() == b"second"
        assert script.steps == [None]


def test_the_head_does_not_wait_for_the_body() -> None:
    with Pair() as pair:
        it = sending(pair, of(5), Script(None, None, b"later"), lambda: None)
        assert it.advance(waits=False) is SendStatus.AWAITING
        assert pair.read() == HEAD
        assert it.advance(waits=False) is SendStatus.DONE
        assert pair.read() == b"later"


def test_what_only_a_thread_can_wait_for_is_left_to_one() -> None:
    script = Script(b"there", WouldBlock, WouldBlock, b"waited for")
    with Pair() as pair:
        it = sending(pair, of(15), script)
        assert it.advance(waits=False) is SendStatus.THREAD
        assert pair.read() == HEAD + b"there"
        assert script.nexts == 0
        assert it.advance(waits=True) is SendStatus.DONE
        assert script.nexts == 1
        assert pair.read() == b"waited for"


def test_a_body_that_cannot_be_taken_needs_a_thread() -> None:
    pulled: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            pulled.append(number)
            yield b"x"

    with Pair() as pair:
        it = sending(pair, CHUNKED, Waited(pieces()))
        assert it.advance(waits=False) is SendStatus.THREAD
        assert (pair.read(), pulled) == (HEAD, [])
        assert it.advance(waits=True) is SendStatus.DONE
        assert (pair.read(), pulled) == (chunks([b"x"] * 3), [0, 1, 2])


def test_a_thread_that_may_wait_does_not_wait_for_the_client() -> None:
    with Pair() as pair:
        it = sending(pair, CHUNKED, Waited([BYTES[:50_000], b"rest"]))
        assert it.advance(waits=True) is SendStatus.FULL
        assert drained(pair, it, waits=True) == HEAD + chunks([BYTES[:50_000], b"rest"])


def test_what_the_disk_may_have_to_give_first_is_left_to_a_thread(
    blob: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def would_wait(*_arguments: Any) -> int:
        raise BlockingIOError

    with Pair(room=1 << 20) as pair:
        monkeypatch.setattr(os, "preadv", would_wait)
        it = sending(pair, of(100), (FileSlice(blob, 0, 100),))
        assert it.advance(waits=False) is SendStatus.DISK
        assert it.advance(waits=True) is SendStatus.DONE
        assert pair.read() == HEAD + BYTES[:100]


def test_where_the_body_breaks_it_is_told() -> None:
    with Pair() as pair:
        it = sending(pair, of(10), Script(b"part", BrokenOff("gone")))
        with pytest.raises(BrokenOff, match="gone"):
            it.advance(waits=False)
        assert it.sent == 4


def test_where_the_client_has_gone_it_is_told() -> None:
    with Pair() as pair:
        pair.receiver.close()
        with pytest.raises(ConnectionError):
            sending(pair, of(5), (b"small",)).advance(waits=False)


# What was sent already.


@pytest.mark.parametrize("count", [0, 1, len(HEAD) - 1, len(HEAD), len(HEAD) + 3, len(HEAD) + 99_999])
def test_what_was_sent_already_is_not_sent_again(count: int) -> None:
    whole = HEAD + BYTES[:100_000]
    with Pair() as pair:
        it = sending(pair, of(100_000), (BYTES[:100_000],))
        it.skip(count)
        assert it.head_bytes == min(count, len(HEAD))
        assert it.sent == max(0, count - len(HEAD))
        assert drained(pair, it) == whole[count:]
        assert it.sent == 100_000


# TLS.


def test_a_client_by_tls_that_reads_nothing_holds_up_nothing(blob: int, certificate: Certificate) -> None:
    with Pair(certificate) as pair:
        it = sending(pair, of(len(BYTES)), (FileSlice(blob, 0, len(BYTES)),))
        assert it.advance(waits=False) is SendStatus.FULL
        # Tried again before there is room, as a wake-up too many does.
        for _ in range(3):
            assert it.advance(waits=False) is SendStatus.FULL
        assert drained(pair, it, 5000) == HEAD + BYTES


def test_a_growing_body_by_tls(certificate: Certificate) -> None:
    script = Script(BYTES[:70_000], None, b"end")
    with Pair(certificate) as pair:
        it = sending(pair, CHUNKED, script, lambda: None)
        data = b""
        while (send_status := it.advance(waits=False)) is not SendStatus.DONE:
            assert send_status in (SendStatus.FULL, SendStatus.AWAITING)
            data += pair.read()
        assert data + pair.read() == HEAD + chunks([BYTES[:70_000], b"end"])


def test_framing_is_of_the_head() -> None:
    """What is never to be sent is not even looked at."""
    with Pair() as pair:
        it = sending(pair, replace(of(5), has_body=False), Script(AssertionError("it was looked at")))
        assert drained(pair, it) == HEAD
