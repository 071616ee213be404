"""Answers that a body is read from: the origin's, to a request for all of it or for its rest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pyproxycache import clock
from pyproxycache.facts import Facts
from pyproxycache.messages import Entry, Request
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.decisions import Store
from pyproxycache.rules.ranges import continues
from pyproxycache.rules.representation import is_unmarked_part
from pyproxycache.rules.resumption import request_for_rest
from pyproxycache.rules.validation import complete_length
from pyproxycache.store.ports import DownloadWriter
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Source:
    """An answer to read on from, up to the offset `end` of the whole body (None: its framing tells)."""

    exchange: Exchange
    end: int | None


@dataclass(frozen=True, slots=True)
class OriginReply:
    """An origin's answer; `rest` is there where it goes on with what the writer has."""

    exchange: Exchange
    rest: Source | None = None


def ask(
    upstream: Upstream,
    writer: DownloadWriter,
    request: Request,
    facts: Facts,
    patience: float | None = None,
) -> OriginReply:
    """Ask the origin for the rest of what the writer has, if that can be resumed; else for all.

    `rest` of the reply tells whether it is the rest. `patience`: seconds to wait for the head (None: as
    configured).
    """
    for_rest = request_for_rest(request, writer.entry, writer.size)
    if for_rest is not None and writer.entry is not None:
        exchange = upstream.send(for_rest, facts, patience=patience)
        with ClosedOnError(exchange):
            rest = _rest(exchange, writer.entry)
            offset = writer.entry.first_byte + writer.size
            if continues(exchange.head, writer.entry.head, offset) and rest.end is not None:
                return OriginReply(exchange, rest)
        if exchange.head.status not in (206, 416) and not is_unmarked_part(exchange.head):
            return OriginReply(exchange)
        exchange.close()
    return OriginReply(upstream.send(request, facts, patience=patience))


def _rest(exchange: Exchange, entry: Entry) -> Source:
    if entry.part is not None:
        return Source(exchange, entry.part.length)
    end = complete_length(exchange.head)
    return Source(exchange, complete_length(entry.head) if end is None else end)


def length_of(exchange: Exchange, entry: Entry) -> int | None:
    """Bytes of the body that the entry will have; None where its end will tell."""
    return exchange.length if entry.part is None else entry.part.length


def entry_of(
    key: FlightKey,
    request: Request,
    exchange: Exchange,
    store: Store,
    asked: float,
    body: bytes | None = None,
) -> Entry:
    """The entry that the answer becomes under a flight key; of a `body` that is here, all of it.

    `request` is the one that was sent, at the time `asked`.
    """
    return Entry(
        key=key.cache_key,
        head=store.head,
        request_time=asked,
        response_time=clock.wall(),
        vary=store.vary,
        digest="" if body is None else hashlib.sha256(body).hexdigest(),
        size=len(body or b""),
        ttl=request.ttl if store.head.status in (200, 206) else None,
        peer=exchange.peer,
        part=store.part,
        groups=store.groups,
        search=store.search,
    )


class ClosedOnError:
    """A context that closes the answer where it fails; else that is up to whoever it was given to."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if kind is not None:
            self._exchange.close()
