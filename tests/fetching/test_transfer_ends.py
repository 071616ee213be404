"""How a body's way into the store ends, and what those who read it get."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fetching_parts import BODY, NONE, RULES, STRONG, Parts, asking, entry_of, parts_in, reply
from made_bodies import read
from scripted import Scripted

from pyproxycache.errors import BrokenOff, NoSpace, UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.fetching.transfers.source import Source
from pyproxycache.fetching.transfers.transfer import Transfer
from pyproxycache.messages import Headers
from pyproxycache.options import FetchOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.values import End

HALF = len(BODY) // 2
KEPT, LOST = "all of it", "not all of it"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with parts_in(tmp_path) as made:
        yield made


class Room:
    """Room for so many bytes of a body, and no more can be made."""

    def __init__(self, most: int) -> None:
        self._most = most

    def why_not_admitted(self, size: int, head_size: int = 0) -> str | None:
        return None

    def allow(self, size: int, count: int) -> int:
        if size + count > self._most:
            raise NoSpace("the disk is full")
        return self._most

    def make_room(self, count: int) -> None:
        raise NoSpace("the disk is full")


def digest_of(body: bytes) -> tuple[str, str]:
    return "Repr-Digest", f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def endless(body: bytes, *fields: tuple[str, str]) -> bytes:
    """An answer whose end is that of its connection."""
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


WHOLE = reply(200, BODY, STRONG)
CUT = WHOLE[:-HALF]
WRONG = digest_of(b"other")
RIGHT = digest_of(BODY)
MUCH = len(BODY)


@pytest.mark.parametrize(
    ("answer", "field", "length", "room", "end", "given", "stored"),
    [
        pytest.param(WHOLE, STRONG, MUCH, MUCH, End.STORED, KEPT, True, id="whole"),
        pytest.param(endless(BODY, NONE), NONE, None, MUCH, End.STORED, KEPT, True, id="no length"),
        pytest.param(WHOLE, RIGHT, MUCH, MUCH, End.STORED, KEPT, True, id="right digest"),
        pytest.param(WHOLE, WRONG, MUCH, MUCH, End.BROKEN, LOST, False, id="wrong digest"),
        pytest.param(WHOLE, STRONG, MUCH, 0, End.UNSTORED, KEPT, False, id="no room"),
        pytest.param(WHOLE, STRONG, MUCH, HALF, End.UNSTORED, KEPT, False, id="no room any more"),
        pytest.param(WHOLE, RIGHT, MUCH, HALF, End.UNSTORED, KEPT, False, id="no room, right digest"),
        pytest.param(WHOLE, WRONG, MUCH, HALF, End.BROKEN, LOST, False, id="no room, wrong digest"),
        pytest.param(CUT, STRONG, MUCH, HALF // 2, End.BROKEN, LOST, False, id="no room, and cut"),
        pytest.param(CUT, STRONG, MUCH, MUCH, End.BROKEN, LOST, False, id="cut"),
        pytest.param(WHOLE + b"more", STRONG, MUCH, MUCH, End.STORED, KEPT, True, id="bytes behind it"),
    ],
)
def test_a_body_ends(
    parts: Parts,
    answer: bytes,
    field: tuple[str, str],
    length: int | None,
    room: int,
    end: End,
    given: str,
    stored: bool,
) -> None:
    with Scripted([answer]) as server:
        request = asking(server)
        key = str(request.url)
        writer = parts.lead(FlightKey(key))
        head = entry_of(key, STRONG).head
        fields = [
            one for one in head.headers if one[0] != "ETag" and (length or one[0] != "Content-Length")
        ]
        head = replace(head, headers=Headers([*fields, field]))
        writer.begin(replace(entry_of(key, STRONG), head=head), length)
        exchange = parts.upstream.send(request, Facts())

        def again() -> Source | None:
            raise UpstreamError("it answers no more")

        flight = writer.flight
        body = flight.read(flight.progress(), 0, None)
        options = FetchOptions(pause=0.01, tries=2)
        inspection = parts.leading.inspections.of(request, key)
        transfer = Transfer(
            options,
            Room(room),
            threading.Event(),
            writer,
            Source(exchange, length),
            again,
            None,
            inspection,
        )
        running = threading.Thread(target=transfer.run, daemon=True)
        running.start()
        if given is KEPT:
            assert read(body) == BODY
        else:
            with pytest.raises((BrokenOff, UpstreamError)):
                read(body)
        running.join(10)
        assert not running.is_alive()
        assert (flight.progress().end, len(parts.stored(key))) == (end, int(stored))
        body.close()


def test_what_is_cut_is_left_to_a_successor(parts: Parts) -> None:
    """If it has a validator that tells every byte; else nobody can go on with it."""
    for validator, has in ((STRONG, len(BODY) - HALF), (NONE, 0)):
        with Scripted([reply(200, BODY, validator)[:-HALF]]) as server:
            request = asking(server)
            key = FlightKey(str(request.url))
            with parts.leader.lead(parts.lead(key), RULES) as leading:
                leading.writer.begin(entry_of(key.cache_key, validator), len(BODY))
                reader = leading.flight.read(leading.flight.progress(), 0, None)
                exchange = parts.upstream.send(request, Facts())
                leading.begin(request, Source(exchange, len(BODY)))
            with pytest.raises(UpstreamError):
                read(reader)
            writer = parts.lead(key)
            assert writer.size == has
            writer.finish(End.LOST)
