"""One input in any pieces: a connection whose next piece comes when its reader has nothing left to read."""

from __future__ import annotations

import random
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from certificates import Certificate, make_certificate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_LIMIT = 10_000
_NOTHING = (BlockingIOError, ssl.SSLWantReadError)


class Tried:
    """How many inputs were delivered by now, in all tests of this process."""

    count = 0


def everywhere(raw: bytes) -> Iterator[list[bytes]]:
    """In two pieces, split at each position, and one byte at a time."""
    for place in range(1, len(raw)):
        yield [raw[:place], raw[place:]]
    yield [raw[place : place + 1] for place in range(len(raw))]


def somewhere(raw: bytes, seed: int) -> list[bytes]:
    """In some pieces, drawn by lot: few large ones, or many small ones."""
    chance = random.Random(seed)
    most = chance.choice((2, 3, 10, 100, 1000))
    places = sorted({chance.randrange(len(raw) + 1) for _ in range(chance.randrange(1, most))} - {0})
    return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True) if a < b]


@dataclass(frozen=True)
class Property:
    """What holds for all inputs of the strategies: `check` raises AssertionError where it does not."""

    check: Callable[..., None]
    strategies: tuple[st.SearchStrategy[Any], ...]

    def hold(self, examples: int) -> None:
        """Try so many inputs."""
        limits = settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        limits(given(*self.strategies)(self.check))()


class Feed:
    """The far end of a socket pair, which sends a piece when the reader would have to wait.

    After the last one it ends the connection, or sends no more and lets the wait time out. With `early`
    looks that do not wait make the next piece come, too. Where it is `slow`, it takes little at a time.
    """

    def __init__(
        self, pieces: list[bytes], *, ends: bool, early: bool, slow: random.Random | None = None
    ) -> None:
        self.here, self.there = socket.socketpair()
        self.there.setblocking(False)
        self.pieces = iter(pieces)
        self._ends = ends
        self.is_over = False
        self.early = early
        self.slow = slow
        self._left = _LIMIT + 4 * len(pieces)
        self._sent = b""
        self.read: Callable[[bytes], bytes] = bytes  # what the bytes on the way mean
        Tried.count += 1

    def count_call(self) -> None:
        """A reader that calls without end spins."""
        self._left -= 1
        assert self._left > 0, "the reader spins"

    def next(self) -> bool:
        """Send the next piece, or the end; whether there was one."""
        if self.is_over:
            return False
        with suppress(OSError):  # the reader has gone
            for piece in self.pieces:
                self.there.send(piece)
                return True
        self.is_over = True
        if self._ends:
            self.there.shutdown(socket.SHUT_WR)
        return self._ends

    def sent(self) -> bytes:
        """All that came from the reader's side by now."""
        if self.there.fileno() >= 0:
            with suppress(BlockingIOError, ConnectionError):
                while more := self.there.recv(1 << 16):
                    self._sent += self.read(more)
        return self._sent

    def close(self) -> None:
        self.sent()
        self.there.close()


class _Reading:
    """What both kinds of socket do before they read."""

    feed: Feed

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.feed.count_call()
        waits = not flags & socket.MSG_DONTWAIT and self.gettimeout() != 0  # type: ignore[attr-defined]
        while True:
            try:
                return self._read(size, flags)
            except _NOTHING:
                if not waits:
                    if self.feed.early:
                        self.feed.next()
                    raise
                if not self.feed.next():
                    raise TimeoutError("nothing came in time") from None

    def _read(self, size: int, flags: int) -> bytes:
        raise NotImplementedError

    def taken(self, data: Any) -> Any:
        """The first bytes of those to be sent, or BlockingIOError, where the feed's other end is `slow`."""
        self.feed.count_call()
        slow = self.feed.slow
        if slow is None:
            return data
        if slow.random() < 0.3:
            raise BlockingIOError
        return memoryview(data)[: slow.choice((1, 2, 5, 100))]


class Plain(_Reading, socket.socket):
    """The reader's end of a feed."""

    def __init__(self, feed: Feed) -> None:
        socket.socket.__init__(self, fileno=feed.here.detach())
        self.feed = feed

    def _read(self, size: int, flags: int) -> bytes:
        return socket.socket.recv(self, size, flags | socket.MSG_DONTWAIT)

    def send(self, data: Any, flags: int = 0) -> int:
        return super().send(self.taken(data), flags)

    def close(self) -> None:
        super().close()
        self.feed.close()


class Secured(_Reading, ssl.SSLSocket):
    """The same behind TLS: the pieces are of what is encrypted."""

    def _read(self, size: int, _flags: int) -> bytes:
        before = self.gettimeout()
        self.setblocking(False)
        try:
            return ssl.SSLSocket.recv(self, size)
        finally:
            self.settimeout(before)

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            data = self.taken(data)
        except BlockingIOError as error:
            raise ssl.SSLWantWriteError from error
        return super().send(data, flags)

    def close(self) -> None:
        super().close()
        self.feed.close()


def plain(
    pieces: list[bytes], *, ends: bool = True, early: bool = False, slow: random.Random | None = None
) -> Plain:
    """A socket from which the pieces come, one after the other."""
    return Plain(Feed(pieces, ends=ends, early=early, slow=slow))


def secured(
    raw: bytes,
    seed: int,
    *,
    ends: bool = True,
    early: bool = False,
    slow: random.Random | None = None,
) -> Secured:
    """A client's TLS socket from which `raw` comes in records, and these in pieces, drawn by lot."""
    feed = Feed([], ends=ends, early=early, slow=slow)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    far = contexts()[0].wrap_bio(incoming, outgoing, server_side=True)
    later: dict[str, Any] = {"do_handshake_on_connect": False, "suppress_ragged_eofs": False}
    near: Any = contexts()[1].wrap_socket(feed.here, **later)
    near.feed = feed
    near.setblocking(False)
    there = feed.there
    for _ in range(10):
        with suppress(ssl.SSLWantReadError):
            near.do_handshake()
        with suppress(BlockingIOError):
            incoming.write(there.recv(1 << 16))
        with suppress(ssl.SSLWantReadError):
            far.do_handshake()
        there.send(outgoing.read())
    near.setblocking(True)
    for record in somewhere(raw, seed):
        far.write(record)
    if ends:
        with suppress(ssl.SSLWantReadError):
            far.unwrap()
    feed.pieces = iter(somewhere(outgoing.read(), seed + 1))

    feed.read = partial(decrypted, far, incoming)
    return near  # type: ignore[no-any-return]


def decrypted(far: ssl.SSLObject, incoming: ssl.MemoryBIO, encrypted: bytes) -> bytes:
    """What the far end reads of these bytes in TLS."""
    incoming.write(encrypted)
    data = b""
    with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
        while more := far.read(1 << 16):
            data += more
    return data


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's, and that of a client that trusts everybody."""
    made: Certificate = make_certificate(Path(mkdtemp()), "DNS:localhost")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.sslsocket_class = Secured
    return made.server(), client


@contextmanager
def cpu_within(seconds: float) -> Iterator[None]:
    """Raises AssertionError in the main thread where it uses more of the processor's time: it spins."""

    def spins(_number: int, _frame: object) -> None:
        raise AssertionError(f"more than {seconds} s of the processor's time")

    before = signal.signal(signal.SIGVTALRM, spins)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
