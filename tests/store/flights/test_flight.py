"""Flights within one process: how bodies are read while they grow, begin anew, spill, and end."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from cachedir import URL, CacheDir, data, download, entry, whole

from pyproxycache.body import Piece
from pyproxycache.errors import BrokenOff, StoreError, UpstreamError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.ports import DownloadWriter, JoinFlight, LeadFlight, NotStorable
from pyproxycache.store.values import End, Orphaned, Progress


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as made:
        yield made


def reader(flight: LocalFlight, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
    return flight.read(flight.progress(), start, stop)


def begun(cache: CacheDir, body: bytes = b"", length: int | None = None) -> DownloadWriter:
    """A leader whose head is known and which has written so much."""
    writer = cache.lead()
    writer.begin(entry(), length)
    grow(writer, body)
    return writer


def grow(writer: DownloadWriter, body: bytes) -> None:
    writer.file.write(body)
    writer.publish_size()


def waiting(started: threading.Barrier, wait: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        started.wait(30)
        return wait()

    return run


def test_one_of_many_threads_leads(cache: CacheDir, pool: ThreadPoolExecutor) -> None:
    started, flights = threading.Barrier(20), cache.flights
    joins = [pool.submit(waiting(started, lambda: flights.join(FlightKey(URL)))) for _ in range(20)]
    found = [join.result() for join in joins]
    assert sum(isinstance(one, LeadFlight) for one in found) == 1
    writer = next(one.writer for one in found if isinstance(one, LeadFlight))
    joined = {one.writer.flight if isinstance(one, LeadFlight) else one.flight for one in found}
    assert joined == {writer.flight}
    writer.finish(End.PASSED)


def test_followers_get_the_head_and_each_byte_as_it_comes(
    cache: CacheDir, pool: ThreadPoolExecutor
) -> None:
    writer = cache.lead()
    followers = [cache.follow().flight for _ in range(8)]
    heads = [pool.submit(flight.wait_head) for flight in followers]
    writer.begin(entry(), 6)
    assert [head.result().entry for head in heads] == [entry()] * 8
    bodies = [reader(flight) for flight in followers]
    for part in (b"ab", b"cd", b"ef"):
        nexts = [pool.submit(next, body) for body in bodies]
        grow(writer, part)
        assert [data(iter([one.result()])) for one in nexts] == [part] * 8
    ends: list[Future[bytes]] = [pool.submit(data, body) for body in bodies]
    writer.finish(End.UNSTORED)
    assert [end.result() for end in ends] == [b""] * 8
    assert cache.open_files() == set()


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, None, b"0123456789"), (4, None, b"456789"), (2, 5, b"234"), (10, None, b""), (3, 3, b"")],
)
def test_a_part_is_read(cache: CacheDir, start: int, stop: int | None, expected: bytes) -> None:
    writer = begun(cache, b"01234")
    part = reader(writer.flight, start, stop)
    grow(writer, b"56789")
    writer.finish(End.UNSTORED)
    assert data(part) == expected


def test_whoever_asks_after_the_end_finds_the_entry(cache: CacheDir) -> None:
    writer = cache.lead()
    late = cache.follow().flight
    stored = download(writer, b"body")
    assert cache.stored(URL) == [stored]
    assert late.progress().end is End.STORED
    with pytest.raises(Orphaned):
        reader(late)
    assert isinstance(cache.flights.join(FlightKey(URL)), LeadFlight)


def test_the_file_is_held_until_the_last_reader_is_done(cache: CacheDir) -> None:
    writer = begun(cache, b"body")
    first, second = reader(writer.flight), reader(writer.flight)
    writer.finish(End.UNSTORED)
    assert cache.partial_files() == []
    assert data(first) == b"body"
    assert len(cache.open_files()) == 1
    second.close()  # type: ignore[attr-defined]
    second.close()  # type: ignore[attr-defined]
    assert cache.open_files() == set()


def test_a_reader_that_is_dropped_lets_go(cache: CacheDir) -> None:
    writer = begun(cache, b"body")
    next(reader(writer.flight))
    writer.finish(End.BROKEN)
    assert cache.open_files() == set()


@pytest.mark.parametrize(
    ("end", "error", "raised"),
    [
        (End.BROKEN, None, BrokenOff),
        (End.FAILED, UpstreamError("the reason"), UpstreamError),
        (End.LOST, None, Orphaned),
        (End.ORPHANED, None, Orphaned),
    ],
)
def test_a_short_body_never_ends_cleanly(
    cache: CacheDir, end: End, error: UpstreamError | None, raised: type[Exception]
) -> None:
    writer = begun(cache, b"half")
    body = reader(writer.flight)
    writer.finish(end, error=error)
    assert data(iter([next(body)])) == b"half"
    with pytest.raises(raised):
        next(body)
    assert cache.stored(URL) == []
    assert cache.blob_files() == []


def test_not_storable_releases_all_and_is_remembered(cache: CacheDir, pool: ThreadPoolExecutor) -> None:
    writer = cache.lead()
    heads = [pool.submit(cache.follow().flight.wait_head) for _ in range(8)]
    writer.finish(End.PASSED, not_storable_until=5e9)
    assert {head.result().end for head in heads} == {End.PASSED}
    assert isinstance(cache.flights.join(FlightKey(URL)), NotStorable)
    assert cache.index.purge([URL]) == 0
    assert isinstance(cache.flights.join(FlightKey(URL)), LeadFlight)


def test_a_claim_that_cannot_be_made_releases_all(
    cache: CacheDir, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise StoreError("no")

    started, flights = threading.Barrier(8), cache.flights
    with monkeypatch.context() as patched:
        patched.setattr(cache.claims, "claim", refuse)
        joins = [pool.submit(waiting(started, lambda: flights.join(FlightKey(URL)))) for _ in range(8)]
        for join in joins:
            # Each has claimed itself, or has waited for one that could not.
            try:
                joined = join.result()
            except StoreError:
                continue
            assert isinstance(joined, JoinFlight)
            assert joined.flight.wait_head().end is End.LOST
    assert isinstance(flights.join(FlightKey(URL)), LeadFlight)


def test_a_body_that_gets_no_file_releases_all(cache: CacheDir, pool: ThreadPoolExecutor) -> None:
    writer, partial = cache.lead(), cache.path / "partial"
    heads = [pool.submit(cache.follow().flight.wait_head) for _ in range(8)]
    partial.rmdir()
    partial.write_text("no folder")
    with pytest.raises(StoreError):
        writer.begin(entry(), None)
    writer.finish(End.PASSED)
    assert {head.result().end for head in heads} == {End.PASSED}
    partial.unlink()  # it is made again
    assert download(cache.lead(), b"body") is not None


class TestAtOnce:
    """A body that came with its head: no file grows, and followers read it from memory."""

    def lead(self, cache: CacheDir, body: bytes = b"0123456789") -> tuple[LocalFlight, LocalFlight]:
        writer, early = cache.lead(), cache.follow().flight
        writer.store_at_once(whole(entry(), body), body)
        return writer.flight, early

    def test_is_stored_and_read(self, cache: CacheDir) -> None:
        _flight, early = self.lead(cache)
        (stored,) = cache.stored(URL)
        assert cache.body(stored) == b"0123456789"
        assert early.wait_head().end is End.STORED
        assert [data(reader(early, *span)) for span in [(0, None), (4, None), (2, 5), (10, None)]] == [
            b"0123456789",
            b"456789",
            b"234",
            b"",
        ]
        assert cache.partial_files() == []
        assert cache.open_files() == set()
        assert isinstance(cache.flights.join(FlightKey(URL)), LeadFlight)

    @pytest.mark.in_files
    def test_equal_bytes_keep_one_blob(self, cache: CacheDir) -> None:
        self.lead(cache)
        (first,) = cache.blob_files()
        inode = first.stat().st_ino
        cache.put(f"{URL}2", b"0123456789")
        assert [blob.stat().st_ino for blob in cache.blob_files()] == [inode]
        os.truncate(first, 3)  # damaged: no row may name it again
        cache.put(f"{URL}3", b"0123456789")
        assert first.read_bytes() == b"0123456789"

    def test_purged_meanwhile(self, cache: CacheDir) -> None:
        writer, early = cache.lead(), cache.follow().flight
        cache.index.purge([URL])
        assert isinstance(cache.flights.join(FlightKey(URL)), LeadFlight)
        assert writer.store_at_once(whole(entry(), b"old"), b"old") is None
        assert data(reader(early)) == b"old"
        assert cache.stored(URL) == []
        assert cache.blob_files() == []

    def test_without_room(self, cache: CacheDir) -> None:
        writer, early = cache.lead(), cache.follow().flight
        cache.fill_up()
        long = whole(entry(X_Long="x" * 100_000), b"body")
        with pytest.raises(StoreError):
            writer.store_at_once(long, b"body")
        assert early.wait_head().end is End.UNSTORED
        assert data(reader(early)) == b"body"
        assert cache.blob_files() == []
        assert isinstance(cache.flights.join(FlightKey(URL)), LeadFlight)


def test_purged_while_it_runs(cache: CacheDir) -> None:
    writer = begun(cache, b"old")
    body = reader(writer.flight)
    cache.index.purge([URL])
    newer = cache.lead()
    assert newer.flight is not writer.flight
    assert writer.store(entry()) is None
    assert data(body) == b"old"
    assert cache.stored(URL) == []
    stored = download(newer, b"new")
    assert cache.stored(URL) == [stored]


class TestBeginningAnew:
    """A body that starts again from its first byte."""

    def test_before_any_byte(self, cache: CacheDir) -> None:
        writer = begun(cache)
        body = reader(writer.flight)
        assert writer.begin_anew(entry(), None)
        grow(writer, b"body")
        writer.finish(End.UNSTORED)
        assert data(body) == b"body"

    def test_with_bytes_that_nobody_has(self, cache: CacheDir, pool: ThreadPoolExecutor) -> None:
        writer = begun(cache, b"old old")
        body = reader(writer.flight)
        assert writer.begin_anew(entry(), None)
        first = pool.submit(next, body)
        grow(writer, b"new")
        assert data(iter([first.result()])) == b"new"
        writer.finish(End.UNSTORED)
        assert data(body) == b""

    def test_with_bytes_that_somebody_has(self, cache: CacheDir) -> None:
        writer = begun(cache, b"old")
        next(reader(writer.flight))
        assert not writer.begin_anew(entry(), None)
        assert writer.size == 3

    def test_with_another_head(self, cache: CacheDir) -> None:
        writer = begun(cache, b"", length=3)
        body = reader(writer.flight)
        assert writer.begin_anew(entry(etag='"2"'), 3)
        grow(writer, b"new")
        with pytest.raises(BrokenOff):
            next(body)

    def test_after_a_dead_leader(self, cache: CacheDir) -> None:
        begun(cache, b"old old").leave_for_successor(End.BROKEN)
        successor = cache.lead()
        assert (successor.entry, successor.size) == (entry(), 7)
        (left,) = cache.partial_files()
        fd = os.open(left, os.O_RDONLY)  # as another process's readers have it
        resumed = successor.flight.read(successor.flight.progress(), 3, None, given=True)
        assert successor.begin_anew(entry(etag='"2"'), None)
        grow(successor, b"new")
        with pytest.raises(BrokenOff):
            next(resumed)
        assert os.read(fd, 100) == b"old old"
        os.close(fd)
        (partial,) = cache.partial_files()
        assert partial.read_bytes() == b"new"
        successor.leave_for_successor(End.BROKEN)
        last = cache.lead()
        assert last.entry == entry(etag='"2"')
        assert last.size == 3


class TestWithoutRoom:
    """The last bytes of a body that the disk has no room for."""

    def spill(self, writer: DownloadWriter, body: bytes, total: int) -> bool:
        writer.unlist(not_storable_until=5e9)
        return writer.feed_without_file(body, total)

    def test_those_who_read_get_the_rest(self, cache: CacheDir) -> None:
        writer = begun(cache, b"in file,")
        bodies = [reader(writer.flight), reader(writer.flight, 4)]
        assert self.spill(writer, b" in memory", 18)
        writer.finish(End.UNSTORED, total=18)
        assert [data(body) for body in bodies] == [b"in file, in memory", b"ile, in memory"]
        assert isinstance(cache.flights.join(FlightKey(URL)), NotStorable)

    def test_nobody_reads(self, cache: CacheDir) -> None:
        writer = begun(cache, b"in file,")
        assert not self.spill(writer, b" in memory", 18)
        # Whoever comes between that and the end finds bytes missing, and asks again.
        with pytest.raises(Orphaned):
            reader(writer.flight)
        writer.finish(End.UNSTORED, total=18)

    def test_it_waits_for_the_only_one(self, cache: CacheDir, pool: ThreadPoolExecutor) -> None:
        writer = begun(cache)
        slow = reader(writer.flight)
        large = bytes(17 << 20)
        assert self.spill(writer, large, len(large))
        more = pool.submit(writer.feed_without_file, b"x", len(large) + 1)
        got = 0
        while got < len(large):
            got += len(data(iter([next(slow)])))
        assert data(iter([next(slow)])) == b"x"
        assert more.result()
        # The first bytes are gone by now.
        with pytest.raises(Orphaned):
            reader(writer.flight)
        writer.finish(End.UNSTORED, total=len(large) + 1)
        assert data(slow) == b""

    @pytest.mark.parametrize("taken", [0, 8, 1 << 20])
    def test_who_is_too_far_behind_is_left_behind(self, cache: CacheDir, taken: int) -> None:
        """It has what lies in the file, and goes on from there without the others."""
        writer = begun(cache, b"in file,")
        slow, fast = reader(writer.flight), reader(writer.flight)
        total, slow_has, step = 8, 0, bytes(1 << 20)
        assert data(iter([next(fast)])) == b"in file,"
        for _ in range(40):
            total += len(step)
            assert writer.feed_without_file(step, total)
            got = 0
            while got < len(step):
                got += len(data(iter([next(fast)])))
            while slow_has < taken:
                slow_has += len(data(iter([next(slow)])))
            # Asks for more, and so does not hold up the leader, which waits for the fast one alone.
            fast.take(lambda: None)  # type: ignore[attr-defined]
        while slow_has < 8:
            slow_has += len(data(iter([next(slow)])))
        with pytest.raises(Orphaned) as left:
            next(slow)
        assert left.value.offset == slow_has
        writer.finish(End.UNSTORED, total=total)
        assert data(fast) == b""
        assert cache.open_files() == set()

    def test_a_slow_reader_that_leaves_holds_nobody_up(
        self, cache: CacheDir, pool: ThreadPoolExecutor
    ) -> None:
        writer = begun(cache)
        slow = reader(writer.flight)
        assert self.spill(writer, bytes(17 << 20), 17 << 20)
        more = pool.submit(writer.feed_without_file, b"x", (17 << 20) + 1)
        slow.close()  # type: ignore[attr-defined]
        assert not more.result()
        writer.finish(End.UNSTORED, total=17 << 20)
        assert cache.open_files() == set()


def test_what_a_disk_does_not_give_is_no_content(tmp_path: Path) -> None:
    """The end of a flight must be told, whatever the disk says."""
    flight = LocalFlight(FlightKey(URL), "token", lambda _claim: True)
    flight.open_file(os.open(tmp_path, os.O_RDONLY))  # to read from a folder is an error of the system's
    assert flight.content(4) is None
    flight.leave()


def test_each_reader_gets_an_error_of_its_own(cache: CacheDir) -> None:
    writer = begun(cache, b"old")
    readers = [reader(writer.flight) for _ in range(2)]
    for one in readers:
        next(one)
    flight = writer.flight
    flight.publish(Progress(generation=1, end=End.BROKEN, error=UpstreamError("the origin's")))
    raised = []
    for one in readers:
        with pytest.raises(UpstreamError, match="the origin's") as caught:
            next(one)
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    writer.finish(End.BROKEN)
