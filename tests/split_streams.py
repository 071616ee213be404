"""Streams whose bytes come in any pieces, plain and in TLS, and whose peers may take little at a time."""

from __future__ import annotations

import os
import random
import select
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from splits import Feed, Plain, Tried, contexts, decrypted, plain, somewhere

from pyproxycache.net.layered_tls import LayeredTls
from pyproxycache.net.stream import PlainStream, Stream


class ScriptedStream:
    """A Stream without a socket: `recv` gives a piece, `send` takes few bytes, and either may have to wait.

    `sent` are the bytes it took, `is_ended` says that it was told of their end.
    """

    def __init__(self, pieces: list[bytes], chance: random.Random, *, ends_one_way: bool = True) -> None:
        self.sent = b""
        self.is_ended = False
        self.ends_one_way = ends_one_way
        self._pieces = list(pieces)
        self._chance = chance
        Tried.count += 1

    def _may_wait(self) -> None:
        if self._chance.random() < 0.3:
            raise BlockingIOError

    def recv(self, count: int) -> bytes:
        self._may_wait()
        if not self._pieces:
            return b""
        piece, self._pieces[0] = self._pieces[0][:count], self._pieces[0][count:]
        if not self._pieces[0]:
            del self._pieces[0]
        return piece

    def send(self, data: bytes | memoryview) -> int:
        assert not self.is_ended
        self._may_wait()
        taken = bytes(data[: self._chance.choice((1, 2, 5, 100))])
        self.sent += taken
        return len(taken)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        return self.send(os.pread(fd, count, offset))

    def pending(self) -> int:
        return 0

    def half_close(self) -> None:
        self.is_ended = True

    def probe_when_silent(self) -> None: ...

    def wait(self, events: int, seconds: float) -> bool:
        raise NotImplementedError

    def has_failed(self) -> bool:
        return False

    def reset(self) -> None: ...

    def close(self) -> None: ...

    def fileno(self) -> int:
        return -1


class Split(NamedTuple):
    """A stream, and the feed that its bytes come from."""

    stream: Stream
    feed: Feed


class _FedStream(PlainStream):
    """The stream over a feed's socket: whoever waits for bytes has the next piece come."""

    __slots__ = ("_feed",)

    def __init__(self, sock: Plain) -> None:
        super().__init__(sock)
        self._feed = sock.feed

    def wait(self, events: int, seconds: float) -> bool:
        if events & select.POLLIN:
            self._feed.next()
        return super().wait(events, seconds)


@contextmanager
def plain_stream(pieces: list[bytes], slow: random.Random | None = None) -> Iterator[Split]:
    """A stream from which the pieces come, the next one once somebody looks for it."""
    with plain(pieces, early=True, slow=slow) as sock:
        yield Split(_FedStream(sock), sock.feed)


@contextmanager
def layered_stream(raw: bytes, seed: int, slow: random.Random | None = None) -> Iterator[Split]:
    """A server's stream in TLS from which `raw` comes in records, and these in pieces, drawn by lot."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    far = contexts()[1].wrap_bio(incoming, outgoing)
    with plain([]) as sock:
        feed = sock.feed
        stream = LayeredTls(_FedStream(sock), partial(contexts()[0].wrap_bio, server_side=True))
        for _ in range(10):
            for shake in (far.do_handshake, stream.shake):
                with suppress(BlockingIOError, ssl.SSLWantReadError):
                    shake()
                feed.there.send(outgoing.read())
                with suppress(BlockingIOError):
                    incoming.write(feed.there.recv(1 << 16))
        for record in somewhere(raw, seed):
            far.write(record)
        with suppress(ssl.SSLWantReadError):
            far.unwrap()
        feed.pieces = iter(somewhere(outgoing.read(), seed + 1))
        feed.read, feed.early, feed.slow = partial(decrypted, far, incoming), True, slow
        yield Split(stream, feed)
