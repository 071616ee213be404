"""Following what runs without wanting to lead: found wherever it is led, and no trace where it is not."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from cachedir import URL, CacheDir, data, entry
from crowd import Crowd
from storeprocess import StoreProcess

from pyproxycache.errors import StoreError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.ports import JoinFlight, NotStorable
from pyproxycache.store.values import End

MakeProcess = Callable[..., StoreProcess]


def test_nobody_leads(cache: CacheDir) -> None:
    flights = cache.flights
    threads, files = threading.active_count(), cache.open_files()
    assert flights.follow(FlightKey(URL)) is None
    assert (threading.active_count(), cache.open_files()) == (threads, files)
    assert cache.claims.leader(FlightKey(URL)) is None
    writer = cache.lead()
    writer.finish(End.LOST)
    assert flights.follow(FlightKey(URL)) is None


def test_a_flight_of_this_process(cache: CacheDir) -> None:
    writer = cache.lead()
    assert cache.flights.follow(FlightKey(URL)) == JoinFlight(writer.flight)
    assert cache.flights.follow(FlightKey(f"{URL}2")) is None
    cache.index.purge([URL])
    assert cache.flights.follow(FlightKey(URL)) is None
    writer.finish(End.LOST)


def test_what_a_dead_leader_left_stays_for_a_successor(cache: CacheDir) -> None:
    writer = cache.lead()
    writer.begin(entry(), 10)
    writer.file.write(b"first ")
    writer.leave_for_successor(End.BROKEN)
    before = cache.partial_files()
    assert cache.flights.follow(FlightKey(URL)) is None
    assert cache.partial_files() == before
    successor = cache.lead()
    assert (successor.size, successor.entry) == (6, entry())
    successor.finish(End.LOST)


def test_what_is_not_storable_is_not_followed(cache: CacheDir) -> None:
    cache.lead().finish(End.PASSED, not_storable_until=5e9)
    assert cache.flights.follow(FlightKey(URL)) is None
    assert isinstance(cache.flights.join(FlightKey(URL)), NotStorable)


def test_a_flight_of_another_process(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, follower = make_process(), make_process()
    assert follower.call("follow", URL) is False
    assert leader.call("join", URL) == ["lead", 0, None]
    assert follower.call("follow", URL) is True
    leader.call("begin", None)
    assert follower.call("head") == ['"1"', None]
    follower.call("open")
    leader.call("write", "first ")
    assert follower.call("read", 6) == ["first ", "more"]
    assert follower.call("join", URL) == ["follow"]
    leader.call("write", "second")
    leader.call("store")
    assert follower.call("read") == ["second", "end"]
    assert follower.call("follow", URL) is False


def test_a_killed_leader_is_not_followed(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, follower = make_process(), make_process()
    leader.call("join", URL)
    leader.call("begin", None)
    leader.call("write", "first ")
    assert follower.call("follow", URL) is True
    follower.call("open")
    assert follower.call("read", 6) == ["first ", "more"]
    follower.send("read")
    leader.kill()
    assert follower.answer() == ["", "Orphaned"]
    assert follower.call("follow", URL) is False
    assert follower.call("join", URL) == ["lead", 6, '"1"']


def test_a_hung_leader_is_not_followed(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, follower = make_process(), make_process(lease=0.5)
    leader.call("join", URL)
    leader.call("begin", None)
    assert follower.call("follow", URL) is True
    assert follower.call("head") == ['"1"', None]
    follower.call("open")
    leader.signal(signal.SIGSTOP)
    assert follower.call("read") == ["", "Orphaned"]
    assert follower.call("follow", URL) is False
    assert follower.call("join", URL) == ["lead", 0, None]


def test_many_threads_share_one_remote_reader(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = make_process()
    leader.call("join", URL)
    leader.call("begin", None)
    started = threading.Barrier(20)
    flights = cache.flights

    def follow(number: int) -> LocalFlight:
        started.wait(30)
        found = flights.follow(FlightKey(URL)) if number % 2 else flights.join(FlightKey(URL))
        assert isinstance(found, JoinFlight)
        return found.flight

    with ThreadPoolExecutor(20) as pool:
        (flight,) = set(pool.map(follow, range(20)))
    pieces = flight.read(flight.wait_head(), 0, None)
    leader.call("write", "body")
    leader.call("store")
    assert data(pieces) == b"body"


def test_a_remote_reader_that_cannot_start_is_not_found(
    cache: CacheDir, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = make_process()
    leader.call("join", URL)
    flights = cache.flights

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreError, match="new thread"):  # which costs no request
            flights.follow(FlightKey(URL))
        with pytest.raises(StoreError, match="new thread"):
            flights.join(FlightKey(URL))
    leader.call("begin", None)
    found = cache.flights.follow(FlightKey(URL))
    assert found is not None
    assert found.flight.wait_head().entry is not None


@pytest.mark.timeout(60)
def test_no_flight_is_without_a_leader(cache: CacheDir) -> None:
    crowd = Crowd(cache)
    crowd.run(threads=8)
    assert crowd.led > 0
    assert crowd.followed > 0
    assert cache.flights.follow(FlightKey(URL)) is None
    assert cache.partial_files() == []


@pytest.mark.timeout(60)
def test_nor_between_processes(cache: CacheDir, make_process: MakeProcess) -> None:
    other = make_process()
    other.send("crowd", 4)
    crowd = Crowd(cache)
    crowd.run(threads=4)
    led, followed = other.answer()
    assert led + crowd.led > 0
    assert followed + crowd.followed > 0
    assert cache.flights.follow(FlightKey(URL)) is None
    assert cache.partial_files() == []


def test_an_index_that_cannot_be_asked_says_so(cache: CacheDir) -> None:
    flights = cache.flights
    cache.database.close()
    cache.database.path.unlink()
    cache.database.path.mkdir()
    with pytest.raises(StoreError):
        flights.follow(FlightKey(URL))
