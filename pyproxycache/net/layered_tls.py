"""TLS over another stream, from which bytes may have been read already."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable

from pyproxycache.net.stream import Stream

_STEP = 64 << 10
_MOST_UNSENT = 4 * _STEP
_MOST_BARREN = 32 << 10
"""Bytes of TLS without content in a row, of which 2,000 new keys can be made: no client needs so many."""
_OVERHEAD = 64
"""Bytes of TLS for one of content, which tiny records take with ease."""

MakeEnd = Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject]
"""Makes an end of TLS, which reads from the first and writes to the second."""


class ServerEnd(ssl.SSLObject):
    """A server's end of TLS; `server_name` is the one that the client has asked for (SNI), "" for none."""

    server_name = ""


def note_server_names(context: ssl.SSLContext) -> None:
    """Have the ends that the context makes be of ServerEnd, and know the names that are asked for."""
    context.sslobject_class = ServerEnd
    context.sni_callback = _note_server_name


def _note_server_name(end: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    if isinstance(end, ServerEnd):
        end.server_name = name or ""


class LayeredTls:
    """A Stream in TLS over the stream `below`, which it owns; it begins with the handshake.

    The stream below may itself be in TLS. `end` makes the end of TLS that this is, out of what comes in and
    what goes out. `early` are bytes that were read from the stream below before.
    `has_answered`: something was sent.
    """

    ends_one_way = False

    __slots__ = (
        "_barren",
        "_below",
        "_credit",
        "_failure",
        "_fed",
        "_has_content",
        "_has_more",
        "_in_record",
        "_incoming",
        "_is_hungry",
        "_is_reset",
        "_outgoing",
        "_tls",
        "_unsent",
        "fileno",
        "has_answered",
        "has_failed",
        "probe_when_silent",
        "wait",
    )

    def __init__(self, below: Stream, end: MakeEnd, early: bytes = b"") -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = end(self._incoming, self._outgoing)
        self._incoming.write(early)
        self._has_more = True  # below, as far as is known
        self._fed = 0  # bytes from below in this step
        self._has_content = False  # of this step
        self._barren = 0  # bytes from below that no content has made up for
        self._is_hungry = False  # the handshake has used all that has come
        self._in_record = False  # of one record, a part may not have been read yet
        self._unsent = memoryview(b"")  # in TLS, which the stream below has not taken
        self._credit = 0  # bytes in TLS already, which the caller of `send` has not been told of
        self._failure: OSError | None = None  # met after bytes that were returned; the next recv raises it
        self._is_reset = False
        self.has_answered = False
        self.fileno: Callable[[], int] = below.fileno
        self.probe_when_silent: Callable[[], None] = below.probe_when_silent
        self.wait: Callable[[int, float], bool] = below.wait
        self.has_failed: Callable[[], bool] = below.has_failed

    @property
    def end(self) -> ssl.SSLObject:
        """This end of TLS, which knows what the other one has shown."""
        return self._tls

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for the stream below to take it."""
        return bool(self._unsent)

    @property
    def protocol(self) -> str | None:
        """The protocol that the handshake has agreed on (ALPN, RFC 7301); None if on none."""
        return self._tls.selected_alpn_protocol()

    @property
    def server_name(self) -> str:
        """The name that the client has asked the server for (SNI, RFC 6066); "" for none."""
        return self._tls.server_name if isinstance(self._tls, ServerEnd) else ""

    def shake(self) -> None:
        """Go on with the handshake; returns once it is over.

        Raises BlockingIOError if the descriptor has to be ready first, to be read from or to be sent to;
        another OSError if the handshake has failed, after an alert was sent as far as there was room.
        """
        self._has_more = True
        self._flush()
        while True:
            if self._is_hungry:
                self._feed()
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._is_hungry = True
                self._flush()
            except OSError:
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                self._barren = self._incoming.pending
                return

    def recv(self, count: int) -> bytes:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._has_more, self._has_content, self._fed = True, False, 0
        data = self._read(count)
        if not data or len(data) == count or not self.is_readable:
            return data
        pieces, left = [data], count - len(data)
        while left and self.is_readable:
            try:
                data = self._read(left)
            except BlockingIOError:
                break
            except OSError as error:
                self._failure = error
                break
            if not data:
                break
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    @property
    def is_readable(self) -> bool:
        """Whether there may be more that no event will report."""
        return self._has_more or self._in_record or self._incoming.pending > 0

    def _read(self, count: int) -> bytes:
        """The content of a record, or of a part of it; b"" at the end."""
        if not (self._in_record or self._incoming.pending):
            self._feed()
        while True:
            try:
                data = self._tls.read(count)
            except ssl.SSLWantReadError:
                self._in_record = False
                self._reply()
                if self._barren > _MOST_BARREN:
                    raise ConnectionError("the other end sends TLS without content") from None
                self._feed()
            except ssl.SSLZeroReturnError:
                return b""
            else:
                self._in_record = len(data) == count
                if self._outgoing.pending:
                    self._reply()
                self._has_content = True
                self._barren = max(0, self._barren - _OVERHEAD * len(data))
                return data

    def _feed(self) -> None:
        """Take what has come below; raises BlockingIOError if that is nothing, or if the step is full."""
        if not self._has_more or (self._has_content and self._fed >= _STEP):
            raise BlockingIOError
        try:
            data = self._below.recv(_STEP)
        except BlockingIOError:
            self._has_more = False
            raise
        self._is_hungry = False
        if data:
            self._has_more = len(data) == _STEP or self._below.pending() > 0
            self._fed += len(data)
            self._barren += len(data)
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _reply(self) -> None:
        """Send what TLS itself has to answer, as far as there is room.

        Raises ConnectionError if too much of it waits.
        """
        with contextlib.suppress(BlockingIOError):
            self._flush()
        if len(self._unsent) > _MOST_UNSENT:
            raise ConnectionError("the other end has TLS answer, and reads no answer")

    def send(self, data: bytes | memoryview) -> int:
        self._flush()
        if not self._credit:
            self._encrypt(data)
        return self._taken(len(data))

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        self._flush()
        if not self._credit:
            self._encrypt(os.pread(fd, min(count, _STEP), offset))
        return self._taken(count)

    def _encrypt(self, data: bytes | memoryview) -> None:
        """Send the bytes, a step's worth at most, in TLS; raises BlockingIOError if not all have left."""
        view, records = memoryview(data)[:_STEP], []
        while self._credit < len(view):
            self._credit += self._tls.write(view[self._credit :])
            records.append(self._outgoing.read())  # by itself: what goes through keeps the room of the most
        self._unsent = memoryview(b"".join(records))
        self._flush()

    def _taken(self, count: int) -> int:
        """How many of the caller's bytes have left, which it is told of only now."""
        taken = min(self._credit, count)
        self._credit -= taken
        return taken

    def _flush(self) -> None:
        """Send what is in TLS already; raises BlockingIOError if there is no room for all of it."""
        if self._outgoing.pending:
            data = self._outgoing.read()
            self._unsent = memoryview(b"".join((self._unsent, data)) if self._unsent else data)
        while self._unsent:
            self.has_answered = True
            self._unsent = self._unsent[self._below.send(self._unsent) :]

    def pending(self) -> int:
        return self._incoming.pending + self._tls.pending() + self._has_more

    def half_close(self) -> None:
        """Send TLS's closing message, as far as there is room, and end this direction below."""
        self._say_the_end()
        self._below.half_close()

    def reset(self) -> None:
        self._is_reset = True
        self._below.reset()

    def close(self) -> None:
        if not self._is_reset:
            self._say_the_end()  # RFC 9112 section 9.8 wants it of both ends
        self._below.close()

    def _say_the_end(self) -> None:
        """Send TLS's closing message, as far as there is room, and wait for no answer to it."""
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._flush()
