"""An answer on its way through the client's socket: head, body, files, and what is no HTTP behind them."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Any

from gunicorn.http.wsgi import Response as GunicornResponse

from pyproxycache.errors import BrokenOff
from pyproxycache.front.interim import InterimHeads
from pyproxycache.front.relay import Tunnel
from pyproxycache.messages import FileSlice, Piece

_BREAK = struct.pack("ii", 1, 0)
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


class Response(GunicornResponse):  # type: ignore[misc]
    """A response whose fields are the application's alone, and whose body may lie in files."""

    def __init__(self, req: Any, sock: socket.socket, cfg: Any, interim: InterimHeads) -> None:
        super().__init__(req, sock, cfg)
        self._interim = interim

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        for name, value in headers:
            lowered = name.lower()
            if lowered == "content-length":
                self.response_length = int(value)
            if lowered == "connection" and value == "close":
                self.force_close()
            switches = self.status_code == 101 and lowered == "upgrade"
            if lowered not in _HOP_BY_HOP or switches:
                self.headers.append((name, value))

    def default_headers(self) -> list[str]:
        lines = [f"HTTP/1.1 {self.status}\r\n"]
        connection = "close" if self.should_close() else "keep-alive"
        lines.append(f"Connection: {'upgrade' if self.status_code == 101 else connection}\r\n")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    @property
    def head_bytes(self) -> int:
        """The size of the head, once it is sent."""
        if not self.headers_sent:
            return 0
        lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers)]
        return sum(map(len, lines)) + len("\r\n")

    def send(self, body: Iterable[Piece]) -> None:
        """Head and body; raises BrokenOff if there is less of it than the head said."""
        self._interim.end()
        self.send_headers()
        if not self._omits_body:
            self._send_body(body)
        self.close()

    def join(self, tunnel: Tunnel, early: bytes, stopping: int) -> None:
        """Leave the connection to the tunnel until it ends; `early` was read already."""
        try:
            tunnel.join(self.sock, early, stopping)
        finally:
            self.sent += tunnel.passed

    def _send_body(self, body: Iterable[Piece]) -> None:
        for piece in body:
            if isinstance(piece, FileSlice):
                self._send_slice(piece)
            else:
                self.write(piece)
        if self.response_length is not None and self.sent < self.response_length:
            raise BrokenOff(f"the body ended after {self.sent} of {self.response_length} bytes")

    def _send_slice(self, piece: FileSlice) -> None:
        if self.chunked:
            self.sock.sendall(b"%x\r\n" % piece.count)
        offset, stop = piece.offset, piece.offset + piece.count
        while offset < stop:
            sent = os.sendfile(self.sock.fileno(), piece.fd, offset, stop - offset)
            if sent == 0:
                raise BrokenOff(f"the stored body ends at {offset}")
            offset += sent
            self.sent += sent
        if self.chunked:
            self.sock.sendall(b"\r\n")

    def break_connection(self) -> None:
        """Let the client see that this is not the end, even one that does not count the bytes: reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
        self.sock.close()
