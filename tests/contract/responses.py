"""Responses to store, and what the tests do with a store again and again, by its ports alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from backends import OpenedStore

from pyproxycache.body import FileSlice, Piece
from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports import DownloadWriter, Flight, JoinFlight, LeadFlight
from pyproxycache.store.values import VaryValues

URL = "http://origin.example/a"
SMALL = b"0123456789"
LARGE = bytes(range(256)) * 1024
"""256 KB: no backend keeps it in memory, or with its head."""

_flights = count()


def response(key: str = URL, *, etag: str = '"1"', at: float = 1000.0, **fields: str) -> Entry:
    """A response's head, received at `at`; `fields` are further header fields, "_" for "-"."""
    lines = [("ETag", etag), *((name.replace("_", "-"), value) for name, value in fields.items())]
    return Entry(key, Head(200, "OK", Headers(lines)), request_time=at, response_time=at)


def whole(entry: Entry, body: bytes) -> Entry:
    """The entry with the digest and the size of its body."""
    return replace(entry, digest=hashlib.sha256(body).hexdigest(), size=len(body))


def varying(value: str, key: str = URL, at: float = 1000.0) -> Entry:
    """A response that was selected by this Accept-Language."""
    return replace(response(key, at=at), vary=(("accept-language", value),))


def asking(**fields: str) -> VaryValues:
    """The values of a request with these fields ("_" for "-")."""
    return lambda names: tuple((name, fields.get(name.replace("-", "_"))) for name in names)


def lead(store: OpenedStore, key: str | FlightKey = URL) -> DownloadWriter:
    joined = store.flights.join(FlightKey(key) if isinstance(key, str) else key)
    assert isinstance(joined, LeadFlight), joined
    return joined.writer


def follow(store: OpenedStore, key: str = URL) -> Flight:
    joined = store.flights.join(FlightKey(key))
    assert isinstance(joined, JoinFlight), joined
    return joined.flight


def grow(writer: DownloadWriter, entry: Entry, data: bytes, length: int | None = None) -> None:
    """The head, and bytes of the body, none of which is withheld; what a dead leader left is not kept."""
    writer.withheld = 0
    if writer.size:
        assert writer.begin_anew(entry, length)
    else:
        writer.begin(entry, length)
    writer.file.write(data)
    writer.publish_size()


def keep(store: OpenedStore, entry: Entry, body: bytes, *, grows: bool = False) -> Entry:
    """Store a response by a flight of its own; gives the entry as it is stored."""
    writer = lead(store, FlightKey(entry.key, (("flight", str(next(_flights))),)))
    if grows:
        grow(writer, entry, body, len(body))
        id = writer.store(whole(entry, body))
    else:
        id = writer.store_at_once(whole(entry, body), body)
    assert id is not None, "nothing was purged"
    return replace(whole(entry, body), id=id)


def found(store: OpenedStore, key: str = URL, **fields: str) -> list[Entry]:
    """What is stored for the key and a request with these fields."""
    return store.index.lookup(key, asking(**fields))


def stored_bytes(store: OpenedStore, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
    """Bytes of a stored body, read piece by piece."""
    size = entry.size
    return joined(store.bodies.open(entry.digest, size, start, size if stop is None else stop))


def joined(pieces: Iterable[Piece]) -> bytes:
    """All bytes of the pieces, each read before the next is asked for."""
    return b"".join(piece.read() if isinstance(piece, FileSlice) else piece for piece in pieces)
