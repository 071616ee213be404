"""A connection to an origin or the parent: sends requests and reads the heads of answers."""

from __future__ import annotations

import contextlib
import fcntl
import re
import select
import socket
import ssl
import struct
import termios
from collections.abc import Iterable

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import BadRequest, UpstreamMalformed, UpstreamTimeout, UpstreamUnreachable, reason
from pyproxycache.http1.response_heads import Heads, ParsedHead
from pyproxycache.messages import Request
from pyproxycache.net.layered_socket import LayeredSocket
from pyproxycache.net.reader import Reader
from pyproxycache.net.stream import PlainStream, Stream
from pyproxycache.tls.failed_handshakes import wants_certificate
from pyproxycache.upstream.next_hops import NextHop
from pyproxycache.upstream.origin_tls import certificate_wanted

IDLE_SECONDS = 20.0

_NUMBER = struct.Struct("i")

# Fields that this connection sets itself. The front answers 100-continue when the body is read.
_OWN_FIELDS = {"host", "connection", "upgrade", "transfer-encoding", "expect"}
_UNSENDABLE = re.compile(r"[\x00\r]|[^\x00-\xff]")


class ClosedWhileIdle(Exception):
    """The origin had closed a kept connection: the request was not processed, and may be sent again."""


class OriginConnection:
    """One connection to an origin or the parent; `peer` is the IP address at its other end.

    A wait for a byte ends after `silence` seconds; a head has to be complete `head_seconds` after its first
    byte. `early` was read from the socket already. `authorization` is the Proxy-Authorization for a parent
    that reads the requests, "" for none. `used`: it has carried a request. `has_sent_content`: it cannot be
    kept, as the origin may take unread content for the next request. It closes when it is garbage
    collected.
    """

    def __init__(
        self,
        sock: socket.socket | LayeredSocket,
        hop: NextHop,
        peer: str,
        silence: float,
        head_seconds: float,
        early: bytes = b"",
        authorization: str = "",
    ) -> None:
        self.hop = hop
        self.peer = peer
        self.reader = Reader(sock, silence, early)
        self._authorization = authorization
        self.used = False
        self.has_sent_content = False
        self.idle_since = 0.0
        self._head_seconds = head_seconds
        self._sock = sock

    def ask(self, request: Request, name: str, protocols: str = "") -> ParsedHead:
        """Send the request and return the final head of its answer; a 101 only if it asks for `protocols`.

        Both get a Via with the `name` of this proxy (RFC 9110 section 7.6.3). Raises what Heads.next()
        does, BadRequest, and, if the connection is `used`, ClosedWhileIdle.
        """
        switches = bool(protocols)
        heads = Heads(self.reader, self._head_seconds, request.interim, may_switch=switches, name=name)
        self.has_sent_content = request.body is not None
        early = None
        # The answer, or an alert of TLS, may have arrived before the error.
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            self.reader.limit_waits()
            try:
                self._sock.sendall(self._head(request, name, protocols))
            except BlockingIOError as error:
                raise TimeoutError("the origin takes no request") from error
            if request.body is not None:
                early = self._send_body(_body(request), heads)
        if early is not None or not self.used:
            return early or heads.final()
        self._refuse_premature()
        received = heads.final()
        if received.head.status == 408:  # the request may be sent again (RFC 9110 section 15.5.9)
            raise ClosedWhileIdle("the origin had waited for it too long")
        return received

    def _refuse_premature(self) -> None:
        """Wait for an answer; raise ClosedWhileIdle if it was sent before the request had arrived.

        The first byte of a true answer comes with the TCP acknowledgement of the whole request.
        """
        self.reader.wait_ready()
        (unacknowledged,) = _NUMBER.unpack(fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(_NUMBER.size)))
        if unacknowledged:
            raise ClosedWhileIdle("the origin sent something that was not asked for")

    def _head(self, request: Request, name: str, protocols: str) -> bytes:
        url = request.url
        absolute = self.hop.through_parent and self.hop.tunnelled is None
        # "*" is written as an empty path in absolute form (RFC 9112 section 3.2.4).
        target = str(url).removesuffix("*") if absolute and url.target == "*" else str(url)
        lines = [f"{request.method} {target if absolute else url.target} HTTP/1.1"]
        lines.append(f"Host: {request.host}")
        lines += [f"{name}: {value}" for name, value in request.headers if name.lower() not in _OWN_FIELDS]
        major, minor = request.version
        lines.append(f"Via: {major}.{minor} {name}")
        if absolute and self._authorization:
            lines.append(f"Proxy-Authorization: {self._authorization}")
        if protocols:
            lines += ["Connection: upgrade", f"Upgrade: {protocols}"]
        elif request.body is not None or request.method == "HEAD":
            lines.append("Connection: close")
        if _is_chunked(request):
            lines.append("Transfer-Encoding: chunked")
        text = "\n".join(lines)
        if text.count("\n") >= len(lines) or _UNSENDABLE.search(text):
            raise BadRequest("a header field has a character in it that cannot be sent")
        return (text.replace("\n", "\r\n") + "\r\n\r\n").encode("latin-1")

    def _send_body(self, body: Iterable[bytes], heads: Heads) -> ParsedHead | None:
        """Send the body; returns the answer's head if it comes before the end (RFC 9112 section 9.5).

        The deadline is for the answer, so it waits as long as the client sends.
        """
        deadline, began = self.reader.deadline, clock.steady()
        self.reader.deadline = None
        try:
            return self._send_all(body, heads)
        finally:
            if deadline is not None:
                self.reader.deadline = deadline + clock.steady() - began

    def _send_all(self, body: Iterable[bytes], heads: Heads) -> ParsedHead | None:
        for data in body:
            view = memoryview(data)
            while view:
                answered = self._wait_writable(heads)
                if answered is not None:
                    return answered
                view = view[self._send_some(view) :]
        return None

    def _wait_writable(self, heads: Heads) -> ParsedHead | None:
        """Wait until the socket can be written; returns the final head if the origin answers first."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        while True:
            found = poll.poll(0)
            if not found:
                with Blocking():
                    found = poll.poll(self.reader.patience() * 1000)
            if not found:
                raise TimeoutError("the origin takes no more of the request")
            if found[0][1] != select.POLLOUT and self.reader.is_ready():
                received = heads.next()
                if received is not None:
                    return received
            if found[0][1] & select.POLLOUT:
                return None

    def _send_some(self, view: memoryview) -> int:
        """Send what the socket takes without waiting; returns how many bytes."""
        self.reader.set_nonblocking()
        try:
            return self._sock.send(view)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def set_idle(self) -> None:
        """Note that the answer was read to its end, and the connection is free for another request."""
        self.used = True
        self.idle_since = clock.steady()

    def is_usable(self) -> bool:
        """Whether an idle connection can still be used; it cannot if there is anything to read on it."""
        return clock.steady() - self.idle_since <= IDLE_SECONDS and not self.reader.is_ready()

    def raw(self) -> tuple[Stream, bytes]:
        """The stream for another protocol than HTTP, and its bytes that were read already."""
        sock = self._sock
        assert not isinstance(sock, ssl.SSLSocket), "the connection was made as one that may switch"
        stream = sock.stream if isinstance(sock, LayeredSocket) else PlainStream(sock)
        return stream, self.reader.take_buffered()

    def break_off(self) -> None:
        """Shut the socket down, so that a thread that waits for it wakes up; any thread may call this."""
        with contextlib.suppress(OSError):
            # Below TLS, whose state the waiting thread is using.
            if isinstance(self._sock, LayeredSocket):
                self._sock.shutdown(socket.SHUT_RDWR)
            else:
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def __del__(self) -> None:
        self.close()


def _is_chunked(request: Request) -> bool:
    return request.body is not None and "content-length" not in request.headers


def _body(request: Request) -> Iterable[bytes]:
    """The request's content as it is sent, in chunks if its length is unknown."""
    if request.body is None or not _is_chunked(request):
        yield from request.body or ()
        return
    for data in filter(None, request.body):
        yield b"%x\r\n%b\r\n" % (len(data), data)
    yield b"0\r\n\r\n"


class ClosingOnErrors:
    """A context that closes the connection on an error, and raises it as the matching upstream error."""

    def __init__(self, connection: OriginConnection, authority: str) -> None:
        self._connection = connection
        self._authority = authority
        self._before = connection.reader.received

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        connection, authority = self._connection, self._authority
        connection.close()
        if isinstance(error, TimeoutError):
            kind = None if connection.reader.deadline is None else "http_response_timeout"
            raise UpstreamTimeout(f"{authority} did not answer in time", kind) from error
        if isinstance(error, UpstreamMalformed):
            text = f"{authority} did not answer in HTTP: {error}"
            raise UpstreamMalformed(text, error.proxy_error) from error
        if wants_certificate(error):
            raise certificate_wanted(authority) from error
        if isinstance(error, OSError | EOFError):
            if connection.used and connection.reader.received == self._before:
                raise ClosedWhileIdle from error
            text = f"{authority} broke off before it had answered: {reason(error)}"
            raise UpstreamUnreachable(text, "connection_terminated") from error
