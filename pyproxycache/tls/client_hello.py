"""A client's first message in TLS, read before anything is answered (RFC 8446 section 4.1.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_LONGEST_RECORD = 1 << 14
_LONGEST = 16 << 10
_MOST_RECORDS = 2048
_SERVER_NAME, _ALPN = 0, 16
_HOST_NAME = 0
_EXTENSION = struct.Struct(">HH")
"""The type of an extension, and the length of its content."""


class NoClientHello(ValueError):
    """The bytes begin no ClientHello, or a longer one than any client's."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says before its handshake.

    `server_name` is the name of the server that it wants (RFC 6066 section 3), in lower case and without a
    final dot; "" if it names none. `protocols` are those that it offers to speak (RFC 7301), () if it does
    not say.
    """

    server_name: str = ""
    protocols: tuple[str, ...] = ()


class ClientHelloReader:
    """Reads a ClientHello out of bytes that come in any pieces; each piece is looked at once."""

    def __init__(self) -> None:
        self._raw = bytearray()  # what does not make a whole record yet
        self._message = bytearray()
        self._records = 0

    def feed(self, data: bytes) -> ClientHello | None:
        """Read on; returns the message once it is whole, else None. Raises NoClientHello."""
        self._raw += data
        place = 0
        while (record := self._record(place)) is not None:
            self._message += record
            place += 5 + len(record)
            self._records += 1
            if self._records > _MOST_RECORDS:
                raise NoClientHello("it comes in too many records")
            if (found := self._found()) is not None:
                return found
        del self._raw[:place]
        return None

    def _record(self, place: int) -> bytes | None:
        """The content of the record at this place; None if it is not whole."""
        head = self._raw[place : place + 5]
        if (head and head[0] != _HANDSHAKE) or (len(head) > 1 and head[1] != 3):
            raise NoClientHello("it is no record of a handshake")
        if len(head) < 5:
            return None
        length = int.from_bytes(head[3:5], "big")
        if not 0 < length <= _LONGEST_RECORD:
            raise NoClientHello(f"its record has {length} bytes")
        end = place + 5 + length
        return bytes(self._raw[place + 5 : end]) if end <= len(self._raw) else None

    def _found(self) -> ClientHello | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise NoClientHello("it is another message of a handshake")
        if len(message) < 4:
            return None
        length = int.from_bytes(message[1:4], "big")
        if length > _LONGEST:
            raise NoClientHello(f"it has {length} bytes")
        if len(message) < 4 + length:
            return None
        return _client_hello(_MessageFields(bytes(message[4 : 4 + length])))


class _MessageFields:
    """The fields of a message, read one after the other; each raises NoClientHello if it is not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __bool__(self) -> bool:
        return self._place < len(self._data)

    def take(self, count: int) -> bytes:
        begin, self._place = self._place, self._place + count
        if self._place > len(self._data):
            raise NoClientHello("it ends within one of its fields")
        return self._data[begin : self._place]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """A field that begins with its length, a number of this size."""
        return self.take(self.number(size))


def _client_hello(fields: _MessageFields) -> ClientHello:
    fields.take(2 + 32)  # version and random
    fields.vector(1)  # the session's id
    fields.vector(2)  # suites of ciphers
    fields.vector(1)  # compressions
    found = _extensions(fields.vector(2)) if fields else {}
    if fields:
        raise NoClientHello("there is more behind its end")
    return ClientHello(_server_name(found.get(_SERVER_NAME)), _protocols(found.get(_ALPN)))


def _extensions(data: bytes) -> dict[int, bytes]:
    """Their contents by their types; of all fields these are the many."""
    found: dict[int, bytes] = {}
    place = 0
    while place < len(data):
        begin = place + _EXTENSION.size
        if begin > len(data):
            raise NoClientHello("it ends within one of its fields")
        kind, length = _EXTENSION.unpack_from(data, place)
        place = begin + length
        if place > len(data):
            raise NoClientHello("it ends within one of its fields")
        if kind in found:
            raise NoClientHello(f"it has the extension {kind} twice")
        found[kind] = data[begin:place]
    return found


def _server_name(content: bytes | None) -> str:
    if content is None:
        return ""
    extension = _MessageFields(content)
    names = _MessageFields(extension.vector(2))
    # No other kind of name was ever defined, so what is behind one cannot be told.
    if names.number(1) != _HOST_NAME:
        raise NoClientHello("its server name is of an unknown kind")
    name = names.vector(2)
    if names or extension or not name or not name.isascii():
        raise NoClientHello("its server name is none")
    return name.decode("ascii").lower().removesuffix(".")


def _protocols(content: bytes | None) -> tuple[str, ...]:
    if content is None:
        return ()
    extension = _MessageFields(content)
    names, protocols = _MessageFields(extension.vector(2)), []
    while names:
        protocols.append(names.vector(1))
    if extension or not all(protocols):
        raise NoClientHello("its list of protocols is none")
    return tuple(protocol.decode("latin-1") for protocol in protocols)
