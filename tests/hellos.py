"""ClientHellos of OpenSSL, and how they are read."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable

from pyproxycache.tls.client_hello import ClientHello, ClientHelloReader


def said(name: str | None, protocols: Iterable[str] = (), version: str = "TLSv1_3") -> bytes:
    """What OpenSSL says first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion[version]
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def read(pieces: Iterable[bytes]) -> ClientHello | None:
    """What is read of the pieces; nothing comes before the last one."""
    reader, found = ClientHelloReader(), None
    for piece in pieces:
        assert found is None
        found = reader.feed(piece)
    return found


def in_records(raw: bytes, size: int) -> bytes:
    """The message of one record in several of this size."""
    assert int.from_bytes(raw[3:5], "big") == len(raw) - 5
    pieces = [raw[place : place + size] for place in range(5, len(raw), size)]
    return b"".join(raw[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)
