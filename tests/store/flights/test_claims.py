"""Who may download and commit, and what is left when a process is killed on the way."""

import hashlib
import os
from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir, entry, whole
from storeprocess import StoreProcess

from pyproxycache.errors import StoreError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.flights.flight_rows import Claim, Taken, Won

pytestmark = pytest.mark.in_files

MakeProcess = Callable[..., StoreProcess]
BODY = b"the whole body"


def claim(cache: CacheDir, token: str = "t") -> Won | Taken:
    found = cache.claims.claim(FlightKey(URL), token, 1000.0)
    assert isinstance(found, Won | Taken)
    return found


def won(cache: CacheDir, token: str = "t") -> Won:
    found = claim(cache, token)
    assert isinstance(found, Won)
    return found


def begin(cache: CacheDir, body: bytes = BODY) -> tuple[Claim, Partial]:
    """A claim whose head is recorded and whose body is in its file."""
    claimed, file = cache.open_file(won(cache), entry())
    file.write(body)
    return claimed, file


def let_go(cache: CacheDir, claimed: Claim, file: Partial) -> None:
    """What the kernel does when the leader's process ends."""
    file.release()
    cache.claims.leave(claimed)


def test_one_leads_while_it_lives(cache: CacheDir) -> None:
    first, file = begin(cache)
    assert claim(cache, "second") == Taken(first)
    let_go(cache, first, file)
    second = won(cache, "second")
    assert second.file is not None
    assert (second.claim.token, second.claim.partial) == ("second", first.partial)
    assert (second.claim.entry, second.file.size) == (entry(), len(BODY))


def test_a_claim_alone_writes_nothing(cache: CacheDir) -> None:
    version = cache.database.select("PRAGMA data_version")
    first = won(cache)
    taken = claim(cache, "second")
    assert isinstance(taken, Taken)
    assert (taken.claim.owner, taken.claim.place) == (first.claim.owner, first.claim.place)
    cache.claims.finish(first.claim)
    assert won(cache, "second").claim.place == first.claim.place
    assert cache.database.select("PRAGMA data_version") == version
    assert cache.partial_files() == []


def test_only_the_current_claim_commits(cache: CacheDir) -> None:
    first, file = begin(cache)
    cache.claims.end_silent(first)
    second = won(cache, "second")
    assert second.file is None
    growing, other = cache.open_file(second, entry())
    assert cache.claims.store(first, whole(entry(), BODY), file) is None
    assert not cache.claims.record(first)
    cache.claims.finish(first)
    assert cache.claims.leader(FlightKey(URL)) == growing
    assert cache.claims.is_current(growing)
    assert cache.stored(URL) == []
    assert cache.blob_files() == []
    assert cache.partial_files() == [file.path, other.path]


def test_nor_does_one_without_a_row(cache: CacheDir) -> None:
    first = won(cache)
    cache.claims.end_silent(first.claim)
    second = won(cache, "second")
    stored = cache.claims.store(second.claim, whole(entry(), b"new"), b"new")
    assert cache.claims.store(first.claim, whole(entry(), b"old"), b"old") is None
    assert [one.id for one in cache.stored(URL)] == [stored]


def test_one_that_was_silent_loses_the_key_once(cache: CacheDir) -> None:
    first, _file = begin(cache)
    cache.claims.end_silent(first)
    second = won(cache, "second")
    cache.claims.end_silent(first)  # as another process finds, later
    assert cache.claims.is_current(second.claim)


def test_another_keys_epoch_does_not_end_what_has_a_row(cache: CacheDir) -> None:
    first, file = begin(cache)
    with cache.database.write():
        cache.claims.locks.begin_epoch()
    taken = claim(cache, "second")
    assert isinstance(taken, Taken)
    assert taken.claim.token == first.token
    assert cache.claims.leader(FlightKey(URL)) == taken.claim
    assert cache.claims.is_current(first)
    assert cache.claims.store(first, whole(entry(), BODY), file) is not None


def test_a_head_without_a_body_is_not_resumed(cache: CacheDir) -> None:
    let_go(cache, *begin(cache, b""))
    assert won(cache).claim.entry is None


def test_a_lost_file_is_replaced(cache: CacheDir) -> None:
    first, file = begin(cache)
    file.discard()
    cache.claims.leave(first)
    second = won(cache, "second")
    assert (second.file, second.claim.entry) == (None, None)


def killed_storing(make_process: MakeProcess, point: str) -> None:
    leader = make_process()
    assert leader.call("join", URL) == ["lead", 0, None]
    leader.call("begin", len(BODY))
    leader.call("write", BODY.decode())
    leader.send("die", point)
    leader.wait_killed()


def test_killed_between_blob_and_row(cache: CacheDir, make_process: MakeProcess) -> None:
    killed_storing(make_process, "before commit")
    assert cache.stored(URL) == []
    (blob,) = cache.blob_files()
    (partial,) = cache.partial_files()
    assert blob.samefile(partial)
    assert list(cache.fsck.check()) == []
    # The successor gets a file of its own: writing to the old one would change the blob.
    successor, file = cache.open_file(won(cache), entry())
    file.write(b"another body")
    assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert cache.space().recover() == 1
    assert cache.blob_files() == []
    assert cache.partial_files() == [file.path]
    assert cache.claims.is_current(successor)


def test_killed_between_a_blob_that_came_at_once_and_its_row(
    cache: CacheDir, make_process: MakeProcess
) -> None:
    for body in ("first", "second"):
        leader = make_process()
        assert leader.call("join", URL) == ["lead", 0, None]
        leader.send("die_at_once", body)
        leader.wait_killed()
        assert cache.stored(URL) == []
        (blob,) = cache.blob_files()
        assert blob.read_bytes() == body.encode()
        assert list(cache.fsck.check()) == []
    # The second found what the first had left; of its own nothing stays either.
    cache.space().recover()
    assert cache.blob_files() == []
    stored = cache.put(URL, b"second")
    cache.space().recover()
    assert cache.body(stored) == b"second"


def test_killed_between_blob_and_row_and_then_stored_by_another(
    cache: CacheDir, make_process: MakeProcess
) -> None:
    killed_storing(make_process, "before commit")
    stored = cache.put("http://origin.example/b", BODY)
    assert cache.space().recover() == 1
    assert cache.body(stored) == BODY
    assert cache.partial_files() == []


def test_killed_between_row_and_tidying(cache: CacheDir, make_process: MakeProcess) -> None:
    killed_storing(make_process, "after commit")
    (stored,) = cache.stored(URL)
    assert cache.body(stored) == BODY
    assert cache.space().recover() == 1
    assert cache.partial_files() == []
    assert cache.body(stored) == BODY


def test_killed_between_rows_and_files_evicting(cache: CacheDir, make_process: MakeProcess) -> None:
    stored = cache.put(URL, BODY)
    process = make_process()
    process.send("die_evicting")
    process.wait_killed()
    assert cache.stored(URL) == []
    assert len(cache.blob_files()) == 1
    cache.space().recover()
    assert cache.blob_files() == []
    assert cache.index.used_bytes() == 0
    assert cache.body(cache.put(URL, BODY)) == BODY
    assert stored.digest == cache.stored(URL)[0].digest


@pytest.mark.parametrize(
    ("age", "with_row", "alive", "removed"),
    [
        (0, True, False, False),
        (90_000, True, False, True),
        (0, False, False, True),
        (90_000, True, True, False),
        (90_000, False, True, False),
    ],
    ids=["resumable", "old", "without-row", "old-alive", "purged-alive"],
)
def test_the_sweep(cache: CacheDir, age: float, with_row: bool, alive: bool, removed: bool) -> None:
    claimed, file = begin(cache)
    path = file.path
    written = path.stat().st_mtime
    os.utime(path, (written - age, written - age))
    if not with_row:
        cache.index.purge([URL])
    if not alive:
        let_go(cache, claimed, file)
    assert cache.space().recover() == removed
    assert path.exists() is not removed
    has_row = cache.claims.running() != [] if alive else won(cache).file is not None
    assert has_row is (with_row and not removed)


def test_a_full_disk_at_the_head_leaves_nothing(cache: CacheDir) -> None:
    cache.fill_up()
    for number in range(3):
        claimed = cache.claims.claim(FlightKey(f"{URL}{'x' * 100_000}{number}"), f"t{number}", 1000.0)
        assert isinstance(claimed, Won)
        with pytest.raises(StoreError):
            cache.open_file(claimed, entry())
    assert cache.partial_files() == []
    assert cache.open_files() == set()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_full_disk_at_the_commit_leaves_no_blob(cache: CacheDir, at_once: bool) -> None:
    claimed, body = (won(cache).claim, BODY) if at_once else begin(cache)
    cache.fill_up()
    long = whole(entry(X_Long="x" * 100_000), BODY)
    with pytest.raises(StoreError):
        cache.claims.store(claimed, long, body)
    assert cache.blob_files() == []
    assert cache.claims.is_current(claimed)
    # With room again the same download can still be committed.
    cache.database.close()
    assert cache.claims.store(claimed, long, body) is not None
    assert cache.body(cache.stored(URL)[0]) == BODY


def test_refusals_are_forgotten_in_time(cache: CacheDir) -> None:
    cache.claims.finish(won(cache).claim, not_storable_until=2000.0)
    cache.sweep.forget_expired(1999.0)
    assert cache.refused() == [URL]
    cache.sweep.forget_expired(2001.0)
    assert cache.refused() == []
    assert isinstance(cache.claims.claim(FlightKey(URL), "another", 1000.0), Won)
