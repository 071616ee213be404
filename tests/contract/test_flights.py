"""Flights: one leader for a key among all threads and processes, and a successor for one that dies."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from backends import OpenedStore
from other_process import OtherProcess
from responses import (
    LARGE,
    SMALL,
    URL,
    follow,
    found,
    grow,
    joined,
    keep,
    lead,
    response,
    stored_bytes,
    varying,
    whole,
)

from pyproxycache.errors import BrokenOff, UpstreamError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports import DownloadWriter, JoinFlight, LeadFlight, NotStorable
from pyproxycache.store.values import End, Orphaned, Progress, RecordedFlight

MakeProcess = Callable[..., OtherProcess]
OpenStore = Callable[..., OpenedStore]
OTHER = "http://origin.example/b"
LEADERLESS = (End.ORPHANED, End.LOST)


def wait_end(flight_of: JoinFlight | DownloadWriter) -> Progress:
    """The last progress of a flight."""
    now = None
    while now is None or now.end is None:
        now = flight_of.flight.wait_change(now)
    return now


def lead_where_free(store: OpenedStore, key: str = URL) -> DownloadWriter:
    """Lead as soon as the flight that runs has ended, as who looks again after an end does."""
    while isinstance(one := store.flights.join(FlightKey(key)), JoinFlight):
        wait_end(one)
    assert isinstance(one, LeadFlight), one
    return one.writer


def join_elsewhere(process: OtherProcess, writer: DownloadWriter, how: str = "join") -> object:
    """Have the process follow until it has reached the leader: before that any end is LOST to it."""
    reached = threading.Event()
    writer.flight.tell_of_readers(lambda is_read: reached.set() if is_read else None)
    joined = process.call(how, writer.key.cache_key)
    assert reached.wait(10)
    writer.flight.tell_of_readers(None)
    return joined


# One leader.


def test_the_first_leads_and_all_others_follow(
    store: OpenedStore, open_store: OpenStore, make_process: MakeProcess
) -> None:
    process = make_process()
    writer = lead(store)
    assert follow(store) is writer.flight
    follow(open_store())
    assert process.call("join", URL) == ["follow"]
    assert isinstance(store.flights.join(FlightKey(OTHER)), LeadFlight)


def test_of_many_threads_in_two_processes_exactly_one_leads(
    store: OpenedStore, make_process: MakeProcess
) -> None:
    processes = make_process(), make_process()
    for process in processes:
        assert process.call("ready")
    for number in range(10):
        key = f"{URL}/{number}"
        for process in processes:
            process.send("join_often", key, 8)
        kinds = [process.answer() for process in processes]
        assert sum(kind.get("lead", 0) for kind in kinds) == 1
        assert sum(kind.get("follow", 0) for kind in kinds) == 15
        leader = next(process for process, kind in zip(processes, kinds, strict=True) if "lead" in kind)
        leader.call("finish", "passed")


def test_two_stores_of_a_process_do_not_lead_one_key(store: OpenedStore, open_store: OpenStore) -> None:
    stores = store, open_store(), open_store()
    with ThreadPoolExecutor(12) as threads:
        got = list(threads.map(lambda number: stores[number % 3].flights.join(FlightKey(URL)), range(12)))
    assert sum(isinstance(one, LeadFlight) for one in got) == 1


def test_a_flight_that_has_ended_is_over(store: OpenedStore, open_store: OpenStore) -> None:
    lead(store).finish(End.PASSED)
    lead(open_store()).finish(End.PASSED)
    writer = lead(store)
    grow(writer, response(), SMALL)
    assert writer.store(whole(response(), SMALL)) is not None
    assert writer.ended
    assert isinstance(store.flights.join(FlightKey(URL)), LeadFlight)


def test_follow_leaves_no_trace_where_nothing_runs(store: OpenedStore, make_process: MakeProcess) -> None:
    process = make_process()
    assert store.flights.follow(FlightKey(URL)) is None
    assert not store.flights.runs_here(FlightKey(URL))
    assert process.call("follow", URL) is False
    writer = lead(store)
    assert store.flights.runs_here(FlightKey(URL))
    followed = store.flights.follow(FlightKey(URL))
    assert followed is not None
    assert followed.flight is writer.flight
    assert join_elsewhere(process, writer, "follow") is True
    writer.finish(End.PASSED)
    assert process.call("head") == [None, "passed"]
    assert store.flights.follow(FlightKey(URL)) is None


# What followers see.


def test_followers_read_what_arrives_as_it_arrives(store: OpenedStore, make_process: MakeProcess) -> None:
    process = make_process()
    writer, flight = lead(store), follow(store)
    process.call("join", URL)
    grow(writer, response(), b"01234", 10)
    now = flight.wait_head()
    assert now.entry is not None
    assert (now.entry.headers.get("etag"), now.length) == ('"1"', 10)
    reader = flight.read(now, 2, 9)
    assert process.call("head") == ['"1"', None]
    process.call("open")
    assert joined([next(reader)]) == b"234"
    assert process.call("read", 5) == ["01234", "more"]
    woken = threading.Event()
    assert reader.take(woken.set) is None
    writer.file.write(b"56789")
    writer.publish_size()
    assert woken.wait(10)
    assert joined(reader) == b"5678"
    assert writer.store(whole(response(), SMALL)) is not None
    assert process.call("read") == ["56789", "end"]
    assert wait_end(writer).end is End.STORED


def test_a_body_that_came_at_once_is_read_by_all(store: OpenedStore, make_process: MakeProcess) -> None:
    process = make_process()
    writer, flight = lead(store), follow(store)
    join_elsewhere(process, writer)
    assert writer.store_at_once(whole(response(), SMALL), SMALL) is not None
    assert joined(flight.read(flight.wait_head(), 0, None)) == SMALL
    assert process.call("head") == ['"1"', "stored"]
    process.call("open")
    assert process.call("read") == [SMALL.decode(), "end"]


@pytest.mark.parametrize("end", [End.PASSED, End.FRESHENED, End.STALE, End.FAILED, End.LOST])
def test_an_end_without_a_body_reaches_every_follower(
    store: OpenedStore, make_process: MakeProcess, end: End
) -> None:
    process = make_process()
    writer, flight = lead(store), follow(store)
    join_elsewhere(process, writer)
    error = UpstreamError("the origin failed") if end is End.FAILED else None
    writer.finish(end, error=error)
    now = flight.wait_head()
    assert (now.entry, now.end) == (None, end)
    assert str(now.error) == str(error)
    assert process.call("head") == [None, end.value]
    assert found(store) == []


def test_a_body_that_ends_short_never_ends_cleanly(store: OpenedStore, make_process: MakeProcess) -> None:
    process = make_process()
    writer, flight = lead(store), follow(store)
    process.call("join", URL)
    grow(writer, response(), b"01234", 10)
    reader = flight.read(flight.wait_head(), 0, None)
    process.call("open")
    assert process.call("read", 5) == ["01234", "more"]
    assert joined([next(reader)]) == b"01234"
    writer.finish(End.BROKEN, error=BrokenOff("the origin broke off"))
    with pytest.raises(BrokenOff, match="the origin broke off"):
        next(reader)
    assert process.call("read") == ["", "BrokenOff"]
    assert found(store) == []


def test_bytes_that_no_file_has_room_for_reach_followers_here(store: OpenedStore) -> None:
    writer, flight = lead(store), follow(store)
    grow(writer, response(), b"01234", 10)
    reader = flight.read(flight.wait_head(), 0, None)
    writer.unlist(1e12)
    assert isinstance(store.flights.join(FlightKey(URL)), NotStorable)
    assert writer.feed_without_file(b"56789", 10)
    writer.finish(End.UNSTORED, total=10)
    assert joined(reader) == SMALL
    assert found(store) == []


def test_a_body_begins_anew_only_for_who_has_none_of_it(
    store: OpenedStore, make_process: MakeProcess
) -> None:
    process = make_process()
    writer, flight = lead(store), follow(store)
    grow(writer, response(), b"old", 5)
    reader = flight.read(flight.wait_head(), 0, None)
    assert writer.begin_anew(response(), 5)
    writer.file.write(b"fresh")
    writer.publish_size()
    assert joined([next(reader)]) == b"fresh"
    assert not writer.begin_anew(response(), 5)
    process.call("join", URL)
    assert process.call("head") == ['"1"', None]
    assert writer.store(whole(response(), b"fresh")) is not None
    assert [stored_bytes(store, entry) for entry in found(store)] == [b"fresh"]


def test_who_waits_is_woken_once(store: OpenedStore) -> None:
    writer, flight = lead(store), follow(store)
    woken, spared = threading.Semaphore(0), threading.Event()
    assert not flight.is_there()
    assert flight.when_there(woken.release)
    assert flight.when_there(spared.set)
    assert flight.is_awaited()
    flight.forget(spared.set)
    writer.begin(response(), None)
    assert woken.acquire(timeout=10)
    assert flight.is_there()
    assert not flight.when_there(woken.release)
    writer.publish_size()
    assert not woken.acquire(blocking=False)
    assert not spared.is_set()
    writer.finish(End.PASSED)


def test_the_leader_is_told_when_the_last_reader_leaves(store: OpenedStore) -> None:
    writer, flight = lead(store), follow(store)
    told: list[bool] = []
    writer.flight.tell_of_readers(told.append)
    grow(writer, response(), SMALL)
    assert not flight.close_if_left()  # nobody has come yet
    first = flight.read(flight.wait_head(), 0, None)
    second = flight.read(flight.wait_head(), 5, None)
    first.close()
    assert told == [True]
    second.close()
    assert told == [True, False]
    assert flight.close_if_left()
    writer.finish(End.LOST)
    with pytest.raises(Orphaned):
        flight.read(flight.wait_head(), 0, None)


# Leaders that die.


def test_a_killed_leader_is_succeeded_with_what_it_left(
    store: OpenedStore, open_store: OpenStore, make_process: MakeProcess
) -> None:
    process = make_process()
    process.call("join", URL)
    process.call("begin", URL, "01234", 10, '"left"')
    flight = follow(store)
    reader = flight.read(flight.wait_head(), 0, None)
    assert joined([next(reader)]) == b"01234"
    process.kill()
    with pytest.raises(Orphaned) as orphaned:
        next(reader)
    assert orphaned.value.offset == 5
    writer = lead_where_free(store)
    assert (writer.size, b"".join(writer.file.blocks())) == (5, b"01234")
    entry = writer.entry
    assert entry is not None
    assert entry.headers.get("etag") == '"left"'
    late = follow(open_store())
    writer.begin(entry, 10)
    writer.file.write(b"56789")
    pieces = late.read(late.wait_head(), 0, None)
    assert writer.store(whole(entry, SMALL)) is not None
    assert joined(pieces) == SMALL
    assert [stored_bytes(store, stored) for stored in found(store)] == [SMALL]


def test_a_leader_killed_before_its_head_leaves_nothing(
    store: OpenedStore, make_process: MakeProcess
) -> None:
    process = make_process()
    process.call("join", URL)
    flight = follow(store)
    process.kill()
    now = flight.wait_head()
    assert (now.entry, now.end in LEADERLESS) == (None, True)
    writer = lead_where_free(store)
    assert (writer.entry, writer.size) == (None, 0)


def test_a_killed_leader_has_one_successor(make_process: MakeProcess) -> None:
    leader, *others = (make_process() for _ in range(3))
    leader.call("join", URL)
    leader.call("begin", URL, "01234", 10)
    for process in others:
        assert process.call("join", URL) == ["follow"]
        process.call("open")
        assert process.call("read", 5) == ["01234", "more"]
    leader.kill()
    for process in others:
        assert process.call("read") == ["", "Orphaned"]
    for process in others:
        process.send("join_often", URL, 4)
    kinds = [process.answer() for process in others]
    assert sum(kind.get("lead", 0) for kind in kinds) == 1
    assert sum(kind.get("follow", 0) for kind in kinds) == 7


def test_a_stopped_leader_loses_the_key_and_cannot_store(
    open_store: OpenStore, make_process: MakeProcess
) -> None:
    store, process = open_store(silence=0.5, lease=5.0), make_process()
    process.call("join", URL)
    process.call("begin", URL, "old", 3)
    flight = follow(store)
    reader = flight.read(flight.wait_head(), 0, None)
    process.signal(signal.SIGSTOP)
    with pytest.raises(Orphaned):
        joined(reader)
    writer = lead_where_free(store)
    grow(writer, response(at=2000.0), b"new", 3)
    process.signal(signal.SIGCONT)
    assert process.call("store") is False
    assert writer.store(whole(response(at=2000.0), b"new")) is not None
    assert [stored_bytes(store, entry) for entry in found(store)] == [b"new"]


def test_what_is_left_for_a_successor_is_resumed(store: OpenedStore, make_process: MakeProcess) -> None:
    writer, flight = lead(store), follow(store)
    grow(writer, response(etag='"left"'), b"01234", 10)
    reader = flight.read(flight.wait_head(), 0, None)
    writer.leave_for_successor(End.LOST)
    assert joined([next(reader)]) == b"01234"
    with pytest.raises(Orphaned):
        next(reader)
    process = make_process()
    assert process.call("join", URL) == ["lead", 5, '"left"']
    process.call("go_on", "56789", 10)
    assert process.call("store") is True
    assert [stored_bytes(store, entry) for entry in found(store)] == [SMALL]


# Purges.


def by_key(store: OpenedStore) -> None:
    store.index.purge([URL])


def by_prefix(store: OpenedStore) -> None:
    store.index.purge_matching(prefix="http://origin.example/")


def by_group(store: OpenedStore) -> None:
    store.index.purge_group("group", "http://origin.example")


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("purge", [by_key, by_prefix, by_group])
def test_a_commit_after_a_purge_stores_nothing(
    store: OpenedStore, open_store: OpenStore, purge: Callable[[OpenedStore], None], elsewhere: bool
) -> None:
    head = replace(response(), groups=("group",))
    writer, flight = lead(store), follow(store)
    grow(writer, head, b"01234", 10)
    reader = flight.read(flight.wait_head(), 0, None)
    purge(open_store() if elsewhere else store)
    assert not flight.is_current()
    anew = lead(store)
    writer.file.write(b"56789")
    assert writer.store(whole(head, SMALL)) is None
    assert joined(reader) == SMALL
    assert found(store) == []
    assert anew.store_at_once(whole(response(at=2000.0), b"new"), b"new") is not None
    assert [stored_bytes(store, entry) for entry in found(store)] == [b"new"]


def test_a_body_that_came_at_once_loses_to_a_purge_as_well(
    store: OpenedStore, make_process: MakeProcess
) -> None:
    writer, process = lead(store), make_process()
    process.call("purge", URL)
    assert writer.store_at_once(whole(response(), SMALL), SMALL) is None
    assert found(store) == []


def test_a_purge_elsewhere_ends_what_another_process_leads(
    store: OpenedStore, make_process: MakeProcess
) -> None:
    process = make_process()
    process.call("join", URL)
    process.call("begin", URL, SMALL.decode(), 10)
    flight = follow(store)
    flight.wait_head()
    store.index.purge([URL])
    assert not flight.is_current()
    assert process.call("store") is False
    assert found(store) == []
    assert isinstance(store.flights.join(FlightKey(URL)), LeadFlight)


def test_a_purge_spares_the_flights_of_other_keys(store: OpenedStore) -> None:
    writer = lead(store, OTHER)
    grow(writer, response(OTHER), SMALL)
    store.index.purge([URL])
    store.index.purge_matching(pattern="*/a")
    store.index.purge_group("group", None)
    assert writer.flight.is_current()
    assert writer.store(whole(response(OTHER), SMALL)) is not None


# Keys that are not storable.


def test_a_key_that_is_not_storable_is_so_for_everybody(
    store: OpenedStore, open_store: OpenStore, make_process: MakeProcess
) -> None:
    lead(store).finish(End.PASSED, not_storable_until=1e12)
    assert isinstance(open_store().flights.join(FlightKey(URL)), NotStorable)
    process = make_process()
    assert process.call("join", URL) == ["not storable"]
    led = store.flights.lead_after_all(FlightKey(URL))
    assert led is not None
    assert process.call("join", URL) == ["follow"]
    led.writer.finish(End.PASSED)
    assert isinstance(store.flights.join(FlightKey(URL)), LeadFlight)


def test_nobody_leads_after_all_beside_a_leader(store: OpenedStore, make_process: MakeProcess) -> None:
    process = make_process()
    process.call("join", URL)
    assert store.flights.lead_after_all(FlightKey(URL)) is None


def test_a_key_is_storable_again_when_its_time_is_over(store: OpenedStore) -> None:
    lead(store).finish(End.PASSED, not_storable_until=1.0)
    assert isinstance(store.flights.join(FlightKey(URL)), LeadFlight)


# What is recorded of flights.


def test_flights_are_recorded_with_their_heads(
    store: OpenedStore, open_store: OpenStore, make_process: MakeProcess
) -> None:
    other, process = open_store(), make_process()
    before = other.flights.stamp(URL)
    assert other.flights.recorded(URL) == []
    english = FlightKey(URL, (("accept-language", "en"),))
    writer = lead(store, english)
    assert other.flights.recorded(URL) == []
    grow(writer, varying("en"), b"01234", 10)
    assert [key for key, _since in other.flights.running()] == [URL]
    process.call("join", URL)
    process.call("begin", URL, "012", 10)
    stamp = other.flights.stamp(URL)
    assert stamp is not None
    assert stamp != before

    def recorded() -> dict[FlightKey, RecordedFlight]:
        return {flight.key: flight for flight in other.flights.recorded(URL)}

    assert recorded() == {
        FlightKey(URL): RecordedFlight(FlightKey(URL), response(), 3, is_led=True),
        english: RecordedFlight(english, varying("en"), 5, is_led=True),
    }
    writer.finish(End.BROKEN)
    process.kill()
    assert recorded() == {FlightKey(URL): RecordedFlight(FlightKey(URL), response(), 3, is_led=False)}
    assert other.flights.running() == []
    assert store.flights.recorded(OTHER) == []


def test_many_flights_at_the_same_time_are_all_stored(store: OpenedStore) -> None:
    def bring_in(number: int) -> None:
        keep(store, response(f"{URL}/{number}"), LARGE[number:], grows=number % 2 == 0)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(bring_in, range(200)))
    for number in range(200):
        (entry,) = found(store, f"{URL}/{number}")
        assert stored_bytes(store, entry) == LARGE[number:]
