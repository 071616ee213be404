"""A proxy whose port speaks TLS, and clients of HTTP/2 for it: a strict one, and one that attacks."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import hpack
from certificates import Certificate
from harness import Proxy
from hyperframe.frame import Frame
from strict_http2 import Answered, Fields, StrictClient, frame

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@contextmanager
def tls_proxy(folder: Path, certificate: Certificate, **options: Any) -> Iterator[Proxy]:
    """A proxy whose only port, at `address`, speaks TLS."""
    config = options.pop("config", {})
    proxy = Proxy(folder, config={}, **options)
    at = proxy.command.index("--listen")
    del proxy.command[at : at + 2]
    tls = {"certificate": str(certificate.certificate), "key": str(certificate.key)}
    proxy.configure({**config, "listen": [{"address": proxy.netloc, "tls": tls}]})
    try:
        yield proxy.start()
    finally:
        proxy.close()


def connected(address: tuple[str, int], server_name: str | None = None) -> ssl.SSLSocket:
    """A connection on which HTTP/2 is spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(address, 30)
    try:
        secured = context.wrap_socket(plain, server_hostname=server_name)
    except OSError:
        plain.close()
        raise
    assert secured.selected_alpn_protocol() == "h2"
    return secured


class Http2Client(StrictClient):
    """A strict client on a connection of its own."""

    def __init__(
        self,
        address: tuple[str, int] | None,
        *,
        window: int = 65535,
        server_name: str | None = None,
        sock: ssl.SSLSocket | None = None,
    ) -> None:
        """It connects to the address, or takes a connection that there is."""
        super().__init__(window=window)
        if sock is None:
            assert address is not None, "either of them is given"
            sock = connected(address, server_name)
        self.sock = sock
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def ask(self, fields: Fields, content: bytes | None = None) -> int:
        """Send a request; returns its stream."""
        stream = self.begin(fields, content)
        self.flush()
        return stream

    def get(self, fields: Fields, content: bytes | None = None) -> Answered:
        """The answer to a request, once it is over."""
        (answered,) = self.all_of([self.ask(fields, content)])
        return answered

    def all_of(self, streams: list[int]) -> list[Answered]:
        """The answers on these streams, once all have ended."""
        self.read_until(lambda: all(self.answers[one].is_over for one in streams))
        return [self.answers[one] for one in streams]

    def read_until(self, holds: Callable[[], bool]) -> None:
        """Read until it holds; raises ConnectionError if the server ends the connection before."""
        while not holds():
            data = self.sock.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the server has ended the connection")
            self.sock.sendall(self.receive(data))

    def open(self, fields: Fields) -> int:
        """Open a stream whose content follows by send_on()."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answered()
        self.h2.send_headers(stream, fields)
        self.flush()
        return stream

    def send_on(self, stream: int, data: bytes) -> None:
        """Send content for which the window has room."""
        self.h2.send_data(stream, data)
        self.flush()

    def flush(self) -> None:
        """Send what there is to send."""
        self.sock.sendall(self.h2.data_to_send())


class Attacker:
    """A client that sends what it likes, and nothing by itself."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = connected(address)
        self._encoder = hpack.Encoder()
        self.sock.sendall(_PREFACE + frame(4, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def request(self, stream: int, fields: Fields, *, ends: bool = True) -> bytes:
        """The frame that opens a stream."""
        return frame(1, 5 if ends else 4, stream, self._encoder.encode(fields))

    def flood(self, pieces: Iterator[bytes]) -> int | None:
        """Send until the server ends the connection; returns the code by which it did."""
        with suppress(OSError):
            for piece in pieces:
                self.sock.sendall(piece)
        return self.told()

    def told(self) -> int | None:
        """The code of the GOAWAY that ended the connection; None if it ended without one."""
        came = bytearray()
        with suppress(OSError):
            while data := self.sock.recv(1 << 16):
                came += data
        codes = [one.error_code for one in frames_in(bytes(came)) if type(one).__name__ == "GoAwayFrame"]
        return int(codes[-1]) if codes else None


def frames_in(data: bytes) -> Iterator[Any]:
    """The whole frames in these bytes."""
    while len(data) >= 9:
        found, length = Frame.parse_frame_header(memoryview(data[:9]))
        if len(data) < 9 + length:
            return
        found.parse_body(memoryview(data[9 : 9 + length]))
        yield found
        data = data[9 + length :]
