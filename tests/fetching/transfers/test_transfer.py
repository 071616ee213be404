"""A body on its way into the store, whose last reader leaves at the worst moment."""

from __future__ import annotations

import hashlib
import shutil
import socket
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import Scripted, get, until_gone, upstream

from pyproxycache.configuration.config import Config
from pyproxycache.facts import Facts
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.fetching.transfers.meeting_point import MeetingPoint
from pyproxycache.fetching.transfers.source import Source
from pyproxycache.fetching.transfers.transfer import Transfer
from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.options import FetchOptions, Share, StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.extents import as_part
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.ports import DownloadWriter, LeadFlight
from pyproxycache.store.values import End
from pyproxycache.wiring.fetching import build_inspections
from pyproxycache.wiring.stored import open_store

URL = "http://origin.example/a"
KB = 1 << 10
TOTAL, STORED, BEHIND = 2048 * KB, 512 * KB, 1536 * KB
"""Bytes of the body, and where in it begins, and ends, what is stored as a part."""

WHOLE = f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {TOTAL}\r\n\r\n'.encode()
REST = (
    f'HTTP/1.1 206 Partial Content\r\nETag: "1"\r\nContent-Length: {TOTAL - BEHIND}\r\n'
    f"Content-Range: bytes {BEHIND}-{TOTAL - 1}/{TOTAL}\r\n\r\n"
).encode()


def entry(status: int, length: int, *fields: tuple[str, str], at: float, part: Part | None = None) -> Entry:
    headers = Headers((("ETag", '"1"'), ("Content-Length", str(length)), *fields))
    return Entry(URL, Head(status, "", headers), request_time=at, response_time=at, part=part)


def led(flights: LocalFlights, key: FlightKey) -> DownloadWriter:
    joined = flights.join(key)
    assert isinstance(joined, LeadFlight)
    return joined.writer


def test_who_leaves_while_the_next_answer_is_asked_for_ends_the_download(tmp_path: Path) -> None:
    store = open_store(StoreOptions(path=tmp_path, reserve=Share()))
    flights = LocalFlights(store.claims, Terms(60, 60))
    whole = entry(200, TOTAL, at=1000.0)
    like = as_part(whole)
    assert like is not None
    body, content_range = bytes(BEHIND - STORED), f"bytes {STORED}-{BEHIND - 1}/{TOTAL}"
    part = Part(STORED, BEHIND - 1, TOTAL)
    later = entry(206, len(body), ("Content-Range", content_range), at=2000.0, part=part)
    stored = replace(later, digest=hashlib.sha256(body).hexdigest(), size=len(body))
    assert led(flights, FlightKey(URL, part="bytes=0")).store_at_once(stored, body) is not None
    writer = led(flights, FlightKey(URL))
    writer.begin(whole, TOTAL)

    def silent(connection: socket.socket) -> None:
        connection.sendall(REST)
        until_gone(connection)

    with Scripted([WHOLE + bytes(STORED + KB)], [silent]) as server:
        origin, request = upstream(silence=60), get(server.url())

        def again() -> Source:
            transfer.end()
            return Source(origin.send(request, Facts()), TOTAL)

        available = AvailableParts(store.index, store.bodies, flights, 0)
        transfer = Transfer(
            FetchOptions(),
            store.space,
            threading.Event(),
            writer,
            Source(origin.send(request, Facts()), TOTAL),
            again,
            MeetingPoint(available, writer.key, like),
            build_inspections(Config(store=StoreOptions(path=tmp_path)), store)[1].of(request, URL),
        )
        running = threading.Thread(target=transfer.run, daemon=True)
        running.start()
        running.join(10)
        assert not running.is_alive()
    assert writer.flight.progress().end is End.LOST
    flights.close()
    store.database.close()


@pytest.mark.parametrize("fault", ["no tables", "no folder"])
def test_a_store_that_breaks_knows_of_no_others(tmp_path: Path, fault: str) -> None:
    """What is asked of it while a body comes in fails nothing."""
    store = open_store(StoreOptions(path=tmp_path, reserve=Share()))
    flights = LocalFlights(store.claims, Terms(60, 60))
    whole = entry(200, TOTAL, at=1000.0)
    like = as_part(whole)
    assert like is not None
    led(flights, FlightKey(URL)).begin(whole, TOTAL)
    part = Part(0, STORED - 1, TOTAL)
    content_range = ("Content-Range", f"bytes 0-{STORED - 1}/{TOTAL}")
    led(flights, FlightKey(URL, part="bytes=0")).begin(
        entry(206, STORED, content_range, at=2000.0, part=part), STORED
    )
    available = AvailableParts(store.index, store.bodies, flights, 0)
    assert available.running(URL)
    if fault == "no tables":
        with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db:
            db.executescript("DROP TABLE flights; DROP TABLE entries")
        assert available.running(URL) == []
    else:
        shutil.rmtree(tmp_path / "partial")
        (tmp_path / "partial").write_text("no folder")
    assert available.first_ahead(like, 0, but=FlightKey(URL)) in (None, 0)
    assert available.stored(like, 0) == []
    assert available.left_at(like, 0) is None
    flights.close()
    store.database.close()
