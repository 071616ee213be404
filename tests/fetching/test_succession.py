"""Who goes on when a leader has died: the store by now, another leader, this one, or the client alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fetching_parts import (
    BODY,
    NONE,
    RULES,
    STRONG,
    Parts,
    admit_all,
    entry_of,
    inquiry_of,
    parts_in,
    reply,
    rest,
)
from made_bodies import read
from scripted import Scripted

from pyproxycache.body import Body, BytesBody, Piece, WouldBlock, size_of
from pyproxycache.errors import BrokenOff
from pyproxycache.fetching.direct_bodies import DirectBodies
from pyproxycache.fetching.dispatch import Alone, LookAgain
from pyproxycache.fetching.leading import Leading
from pyproxycache.fetching.succession import Succession, SuccessionParts
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.messages import Entry, Part
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.extents import as_part
from pyproxycache.serving.arriving import FlightRead, SpanRead
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.serving.resumed import ResumedBody
from pyproxycache.store.ports import DownloadWriter, JoinFlight, NotStorable
from pyproxycache.store.values import End, Orphaned

GIVEN = 100_000
"""Bytes that the client has when the leader dies, of those that there are."""
ARRIVED = GIVEN + 1
FAR = 2e9
KEY = FlightKey("http://origin.example/a")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with parts_in(tmp_path) as made:
        yield made


# What the dispatcher says, for a fresh miss and for a successor alike.


def test_who_is_first_leads(parts: Parts) -> None:
    decided = parts.dispatcher.decide([KEY], RULES, lambda: False)
    assert isinstance(decided, Leading)
    with decided:
        assert parts.flights.runs_here(KEY)
    assert not parts.flights.runs_here(KEY)


def test_who_comes_later_follows(parts: Parts) -> None:
    writer = parts.lead(KEY)
    assert parts.dispatcher.decide([KEY], RULES, lambda: False) == JoinFlight(writer.flight)
    writer.finish(End.LOST)


def test_what_is_stored_by_now_is_looked_up(parts: Parts) -> None:
    assert parts.dispatcher.decide([KEY], RULES, lambda: True) == LookAgain()
    assert not parts.flights.runs_here(KEY)


def test_a_look_that_fails_leaves_no_flight(parts: Parts) -> None:
    def fail() -> bool:
        raise LookupError

    with pytest.raises(LookupError):
        parts.dispatcher.decide([KEY], RULES, fail)
    assert not parts.flights.runs_here(KEY)


def test_nobody_waits_for_what_was_not_storable(parts: Parts) -> None:
    parts.lead(KEY).finish(End.PASSED, not_storable_until=FAR)
    assert isinstance(parts.dispatcher.decide([KEY], RULES, lambda: False), NotStorable)
    decided = parts.dispatcher.decide([KEY, KEY.with_ttl()], RULES, lambda: False)
    assert isinstance(decided, Leading)
    assert decided.writer.key == KEY.with_ttl()
    with decided:
        pass


def test_without_a_store_each_is_alone(parts: Parts) -> None:
    parts.lead(KEY).finish(End.PASSED, not_storable_until=1.0)  # so that there is something to be read
    with parts.store.database.write() as db:
        db.execute("DROP TABLE flights")
    assert parts.dispatcher.decide([KEY], RULES, lambda: False) == Alone("store-failed")
    assert not parts.flights.runs_here(KEY)


# A flight's body.

Situation = Callable[[Parts, FlightRead], None]


def stored(parts: Parts, read: FlightRead) -> None:
    parts.keep(read.entry, BODY)


def led_elsewhere(parts: Parts, read: FlightRead) -> None:
    writer = parts.lead(read.flight.key)
    writer.begin_anew(replace(read.entry, response_time=read.entry.response_time + 1), len(BODY))
    writer.file.write(BODY)
    writer.withheld = 0
    writer.publish_size()


def nobody(_parts: Parts, _read: FlightRead) -> None:
    """The origin is all that is left."""


def not_storable(parts: Parts, read: FlightRead) -> None:
    parts.lead(read.flight.key).finish(End.PASSED, not_storable_until=FAR)


def broken_store(parts: Parts, _read: FlightRead) -> None:
    with parts.store.database.write() as db:
        db.execute("DROP TABLE flights")
        db.execute("DROP TABLE entries")


WHOLE, UNMARKED = reply(200, BODY, STRONG), reply(200, BODY, NONE)
OTHER = reply(200, bytes(len(BODY)), ("ETag", '"2"'))
SMALL = reply(200, b"small", ("ETag", '"2"'))
ALTERED = reply(200, bytes(len(BODY)), NONE)
ALTERED_BEFORE = reply(200, bytes(GIVEN - 1000) + BODY[GIVEN - 1000 :], NONE)
REST = f"Range: bytes={GIVEN}-{len(BODY) - 1}"
LEFT = f"Range: bytes={ARRIVED}-"
ALL = ""


@pytest.mark.parametrize(
    ("situation", "validator", "answers", "asked"),
    [
        pytest.param(stored, STRONG, [], [], id="stored"),
        pytest.param(stored, NONE, [], [], id="stored, no validator"),
        pytest.param(led_elsewhere, STRONG, [], [], id="led elsewhere"),
        pytest.param(led_elsewhere, NONE, [UNMARKED], [ALL], id="led elsewhere, no validator"),
        pytest.param(nobody, STRONG, [rest(ARRIVED)], [LEFT], id="lead here"),
        pytest.param(nobody, STRONG, [WHOLE], [LEFT], id="lead here, the origin sends all again"),
        pytest.param(nobody, NONE, [UNMARKED, UNMARKED], [ALL, ALL], id="lead here, no validator"),
        pytest.param(not_storable, STRONG, [rest(GIVEN)], [REST], id="alone"),
        pytest.param(not_storable, STRONG, [WHOLE], [REST], id="alone, the origin sends all again"),
        pytest.param(not_storable, NONE, [UNMARKED], [ALL], id="alone, no validator"),
        pytest.param(broken_store, STRONG, [rest(GIVEN)], [REST], id="no store"),
        pytest.param(broken_store, NONE, [UNMARKED], [ALL], id="no store, no validator"),
        pytest.param(not_storable, STRONG, [OTHER], [REST], id="gone"),
        pytest.param(not_storable, NONE, [ALTERED], [ALL], id="gone, no validator"),
        pytest.param(nobody, STRONG, [OTHER, OTHER], [LEFT, REST], id="gone while leading"),
        pytest.param(nobody, NONE, [ALTERED, ALTERED], [ALL, ALL], id="gone while leading, no validator"),
        pytest.param(nobody, NONE, [SMALL, SMALL], [ALL, ALL], id="gone while leading, small"),
    ],
)
def test_a_body_goes_on(
    parts: Parts,
    situation: Situation,
    validator: tuple[str, str],
    answers: list[bytes],
    asked: list[str],
    request: pytest.FixtureRequest,
) -> None:
    is_gone = "gone" in request.node.callspec.id
    with Scripted(*([answer] for answer in answers)) as server:
        body, lost = followed(parts, server, validator)
        situation(parts, lost)
        if is_gone:
            with pytest.raises(BrokenOff):
                read(body)
        else:
            assert read(body) == BODY[GIVEN:]
        assert ranges_of(server) == asked
        body.close()


def followed(
    parts: Parts, server: Scripted, validator: tuple[str, str], start: int = 0
) -> tuple[ResumedBody, FlightRead]:
    """A body of which the client has the first bytes, from `start` on, and whose leader dies then."""
    key = str(server.url())
    writer = parts.lead(FlightKey(key))
    writer.begin(entry_of(key, validator), len(BODY))
    writer.withheld = 0
    writer.file.write(BODY[:ARRIVED])
    writer.publish_size()
    flight, now = writer.flight, writer.flight.progress()
    lost = FlightRead(inquiry_of(server), flight, now, start, len(BODY))
    first = flight.read(now, start, GIVEN)
    body = ResumedBody(parts.succession.of_flight(lost), start, len(BODY), first)
    assert size_of(next(body)) == GIVEN - start
    if validator is STRONG:
        writer.leave_for_successor(End.ORPHANED)
    else:
        writer.finish(End.ORPHANED)
    return body, lost


@pytest.mark.parametrize(
    ("given", "answer", "is_gone"),
    [
        pytest.param(0, UNMARKED, False, id="nothing was given"),
        pytest.param(0, WHOLE, True, id="nothing was given, and it is another one"),
        pytest.param(0, SMALL, True, id="nothing was given, and it is shorter"),
        pytest.param(1000, UNMARKED, False, id="some was given"),
        pytest.param(1000, ALTERED, True, id="some was given, and it has changed"),
        pytest.param(1000, ALTERED_BEFORE, False, id="some was given, and what was not has changed"),
    ],
)
def test_a_range_of_what_has_no_validator_goes_on(
    parts: Parts, given: int, answer: bytes, is_gone: bool
) -> None:
    """Also where the file that the client was to be sent from does not reach to the range."""
    start = GIVEN - given
    with Scripted([answer]) as server:
        body, lost = followed(parts, server, NONE, start) if given else nothing_given(parts, server, start)
        not_storable(parts, lost)
        if is_gone:
            with pytest.raises(BrokenOff):
                read(body)
        else:
            assert read(body) == BODY[GIVEN:]
        body.close()


def nothing_given(parts: Parts, server: Scripted, start: int) -> tuple[ResumedBody, FlightRead]:
    """A body of which the client has the head alone."""
    whole, lost = followed(parts, server, NONE)
    whole.close()
    lost = replace(lost, start=start)
    return ResumedBody(parts.succession.of_flight(lost), start, len(BODY)), lost


# A span of a representation.

START, MIDDLE, STOP = 1000, 50_000, 90_000


def part_of(key: str, start: int, stop: int) -> Entry:
    return entry_of(key, STRONG, Part(start, stop - 1, len(BODY)))


def stored_part(parts: Parts, key: str) -> None:
    parts.keep(part_of(key, MIDDLE, STOP), BODY[MIDDLE:STOP])


def arriving_part(parts: Parts, key: str) -> None:
    writer = parts.lead(FlightKey(key, part=f"bytes={MIDDLE}"))
    part = part_of(key, MIDDLE, STOP)
    writer.begin(replace(part, request_time=FAR, response_time=FAR), STOP - MIDDLE)
    writer.file.write(BODY[MIDDLE:STOP])
    writer.withheld = 0
    writer.publish_size()


def left_part(parts: Parts, key: str) -> None:
    writer = parts.lead(FlightKey(key, part=f"bytes={MIDDLE - 100}"))
    writer.begin(part_of(key, MIDDLE - 100, STOP), STOP - MIDDLE + 100)
    writer.file.write(BODY[MIDDLE - 100 : MIDDLE + 100])
    writer.leave_for_successor(End.ORPHANED)


def no_part(_parts: Parts, _key: str) -> None:
    """The origin is all that is left."""


def part_not_storable(parts: Parts, key: str) -> None:
    parts.lead(FlightKey(key, part=f"bytes={MIDDLE}")).finish(End.PASSED, not_storable_until=FAR)


GAP = f"Range: bytes={MIDDLE}-{STOP - 1}"
LEFT_PART = f"Range: bytes={MIDDLE + 100}-{STOP - 1}"


@pytest.mark.parametrize(
    ("situation", "answers", "asked"),
    [
        pytest.param(stored_part, [], [], id="stored"),
        pytest.param(arriving_part, [], [], id="arriving"),
        pytest.param(left_part, [rest(MIDDLE + 100, STOP)], [LEFT_PART], id="left by a dead leader"),
        pytest.param(no_part, [rest(MIDDLE, STOP)], [GAP], id="lead here"),
        pytest.param(part_not_storable, [rest(MIDDLE, STOP)], [GAP], id="alone"),
        pytest.param(no_part, [OTHER, OTHER], [GAP, GAP], id="gone while leading"),
        pytest.param(part_not_storable, [OTHER], [GAP], id="gone"),
        pytest.param(no_part, [SMALL, SMALL], [GAP, GAP], id="gone while leading, small"),
    ],
)
def test_a_span_goes_on(
    parts: Parts,
    situation: Callable[[Parts, str], None],
    answers: list[bytes],
    asked: list[str],
    request: pytest.FixtureRequest,
) -> None:
    with Scripted(*([answer] for answer in answers)) as server:
        key = str(server.url())
        like = as_part(part_of(key, START, MIDDLE))
        assert like is not None
        situation(parts, key)
        span = SpanRead(inquiry_of(server), like, START, STOP)
        body = ResumedBody(parts.succession.of_span(span), MIDDLE, STOP)
        if "gone" in request.node.callspec.id:
            with pytest.raises(BrokenOff):
                read(body)
        else:
            assert read(body) == BODY[MIDDLE:STOP]
        assert ranges_of(server) == asked
        body.close()


class Overtaken(AvailableParts):
    """Before it says what a dead leader left, another successor leads that."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.store.index, parts.store.bodies, parts.flights, 0)
        self._parts = parts
        self.writers: list[DownloadWriter] = []

    def left_at(self, like: Entry, offset: int) -> tuple[FlightKey, Entry] | None:
        if not self.writers:
            left = super().left_at(like, offset)
            assert left is not None
            self.writers.append(self._parts.lead(left[0]))
        return super().left_at(like, offset)


def test_who_is_overtaken_by_another_successor_follows_it(parts: Parts) -> None:
    """Nothing has come since the leader died, so that both want the same bytes."""
    with Scripted() as server:
        key = str(server.url())
        like = as_part(part_of(key, START, MIDDLE))
        assert like is not None
        left_part(parts, key)
        span = SpanRead(inquiry_of(server), like, START, STOP)
        dispatcher, leader, available = parts.dispatcher, parts.leader, Overtaken(parts)
        alone, bodies = DirectBodies(parts.upstream), EntryBodies(parts.store.bodies)
        taking_over = Succession(
            SuccessionParts(dispatcher, leader, alone, parts.store.index, bodies, available, admit_all)
        )
        successor = taking_over.of_span(span)
        with pytest.raises(Orphaned):
            successor.go_on(MIDDLE + 100)
        (writer,) = available.writers
        assert writer.entry is not None
        writer.begin(writer.entry, STOP - MIDDLE + 100)
        writer.file.write(BODY[MIDDLE + 100 : STOP])
        writer.withheld = 0
        writer.publish_size()
        assert read(ResumedBody(successor, MIDDLE + 100, STOP)) == BODY[MIDDLE + 100 : STOP]
        assert ranges_of(server) == []
        writer.finish(End.LOST)


def ranges_of(server: Scripted) -> list[str]:
    """The Range of each request, empty where it had none."""
    lines = [head.decode().split("\r\n") for head in server.heads]
    return [next((line for line in head if line.startswith("Range:")), "") for head in lines]


class Flaky:
    """Goes on only after so many others have lost the bytes."""

    def __init__(self, lost: int) -> None:
        self._left = lost

    def note_given(self, piece: Piece) -> None: ...

    def go_on(self, offset: int) -> Body:
        if self._left:
            self._left -= 1
            raise Orphaned(offset)
        return BytesBody(BODY[offset:])


@pytest.mark.parametrize(("lost", "is_whole"), [(0, True), (5, True), (6, False)])
def test_those_who_lose_the_bytes_are_so_many_at_most(lost: int, is_whole: bool) -> None:
    body = ResumedBody(Flaky(lost), 0, None)
    if is_whole:
        assert read(body) == BODY
    else:
        with pytest.raises(BrokenOff, match="too many times"):
            read(body)


def test_who_goes_on_is_asked_by_a_thread_alone() -> None:
    body = ResumedBody(Flaky(0), 0, None)
    with pytest.raises(WouldBlock):
        body.take(lambda: None)
    assert next(body) == BODY
    with pytest.raises(StopIteration):
        body.take(lambda: None)
