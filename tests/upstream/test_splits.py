"""An answer read from a connection that splits it anywhere is the answer that came in one piece."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pyproxycache.upstream.framing import framed
from pyproxycache.upstream.heads import Heads
from pyproxycache.upstream.reader import Reader

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n, w\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"hello, w",
    ),
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "until close": (OK + b"X-Folded: a\r\n b\r\n\r\nhello", b"hello"),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
        b"hi",
    ),
}


def read(pieces: list[bytes], before_wait: Callable[[], None] | None) -> bytes:
    """The body of the answer in these pieces, each sent when the reader has taken the one before."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with contextlib.suppress(OSError):  # nobody waits for trailers
            for piece in pieces:
                theirs.sendall(piece)
                until_taken(ours)
        theirs.close()

    sender = threading.Thread(target=send)
    with ours:
        sender.start()
        reader = Reader(ours, 5.0)
        reader.before_wait = before_wait
        received = Heads(reader, 5.0).final()
        _head, body = framed(received, "GET", reader)
        data = b"".join(pieces_of(body.read))
        sender.join(10)
    return data


def pieces_of(read_some: Callable[[], bytes]) -> Iterator[bytes]:
    for _ in range(10_000):
        data = read_some()
        if not data:
            return
        yield data
    raise AssertionError("the body does not end")


def until_taken(sock: socket.socket) -> None:
    """Until the reader has nothing left to read; bounded, for a reader that does not read."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return
        time.sleep(0.0002)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("before_wait", [None, lambda: None], ids=["unhooked", "hooked"])
@pytest.mark.parametrize("name", ANSWERS)
def test_split_at_each_position(name: str, before_wait: Callable[[], None] | None) -> None:
    raw, body = ANSWERS[name]
    for place in range(1, len(raw)):
        assert read([raw[:place], raw[place:]], before_wait) == body, place
    assert read([raw[n : n + 1] for n in range(len(raw))], before_wait) == body


@pytest.mark.parametrize(
    "look", [lambda r: r.is_ready(), lambda r: r.holds(100)], ids=["is_ready", "holds"]
)
def test_a_reset_seen_while_looking_ahead_is_no_end(look: Callable[[Reader], bool]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with ours:
            reader = Reader(ours, 5.0)
            look(reader)
            with pytest.raises(ConnectionResetError):
                reader.some(1 << 20)
