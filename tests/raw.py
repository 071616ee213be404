"""A conversation byte for byte: requests as they are written, answers one by one on one connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Self

from harness import Reply
from load import Address, Wire


class Conversation:
    """One connection to the proxy, by TCP or a path; everything waits at most `timeout` seconds."""

    def __init__(self, address: Address | str, timeout: float = 10.0) -> None:
        if isinstance(address, str):
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.settimeout(timeout)
            try:
                self.connection.connect(address)
            except OSError:
                self.connection.close()
                raise
        else:
            self.connection = socket.create_connection(address, timeout)
        self.wire = Wire(self.connection, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.connection.close()

    def send(self, data: bytes) -> Self:
        self.connection.sendall(data)
        return self

    def finish(self) -> Self:
        """Says that nothing more is sent."""
        self.connection.shutdown(socket.SHUT_WR)
        return self

    def head(self) -> Reply:
        """The next head, an interim one too."""
        _version, status, reason = (self.wire.line().decode("latin-1") + "  ").split(" ", 2)
        headers = []
        while line := self.wire.line():
            name, _colon, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return Reply(int(status), reason.strip(), tuple(headers), b"", False, None)

    def reply(self, method: str = "GET") -> Reply:
        """The next answer whole, by its framing; ConnectionError where it ends short."""
        head = self.head()
        body = b"".join(bytes(piece) for piece in self._framed(head, method))
        return Reply(head.status, head.reason, head.headers, body, True, None)

    def rest(self) -> bytes:
        """What comes until the proxy closes; ConnectionResetError where it breaks the connection."""
        return b"".join(bytes(piece) for piece in self.wire.rest())

    def _framed(self, head: Reply, method: str) -> Iterator[memoryview]:
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            return
        length = head.get("Content-Length")
        if head.get("Transfer-Encoding") == "chunked":
            while size := int(self.wire.line(), 16):
                yield from self.wire.exactly(size)
                self.wire.line()
            self.wire.line()
        elif length is not None:
            yield from self.wire.exactly(int(length))
        else:
            yield from self.wire.rest()


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request's bytes: "GET /x" becomes HTTP/1.1, with a Host field unless one is given."""
    if " HTTP/" not in line:
        line = f"{line} HTTP/1.1"
    if not any(field.lower().startswith("host:") for field in fields):
        fields = ("Host: cache", *fields)
    return ("\r\n".join((line, *fields)) + "\r\n\r\n").encode("latin-1") + body
