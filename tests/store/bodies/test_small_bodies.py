"""Small bodies are in the index: one for equal bytes, whole or none, and gone with their last row."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir, data, download, entry, whole
from older_index import bring_back_to_5
from storeprocess import StoreProcess

from pyproxycache.errors import NoSpace
from pyproxycache.messages import Entry
from pyproxycache.store.bodies.blobs import Damaged
from pyproxycache.store.files.footprint import LARGEST_IN_INDEX
from pyproxycache.store.sqlite.schema import SCHEMA_VERSION
from pyproxycache.store.upkeep.fsck import Problem

BODY = b"0123456789" * 100


@pytest.mark.parametrize(
    ("size", "files"),
    [(0, 0), (1, 0), (4000, 0), (LARGEST_IN_INDEX, 0), (LARGEST_IN_INDEX + 1, 1)],
)
@pytest.mark.parametrize("arrives", ["at once", "in a file"])
def test_where_a_body_is(cache: CacheDir, size: int, files: int, arrives: str) -> None:
    body = os.urandom(size)
    stored = cache.put(URL, body) if arrives == "at once" else download(cache.lead(), body)
    assert stored is not None
    assert len(cache.blob_files()) == files
    assert cache.partial_files() == []
    assert cache.body(stored) == body
    assert cache.index.used_bytes() == size
    assert cache.bodies.file(stored.digest) == (
        cache.blobs.path(stored.digest) if files else cache.path / "index.sqlite"
    )
    assert list(cache.fsck.check()) == [None]


@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (3, 5), (999, 1000), (10, 10)])
def test_a_slice(cache: CacheDir, start: int, stop: int) -> None:
    stored = cache.put(URL, BODY)
    for read in (cache.bodies.read, cache.bodies.read_verified):
        reader = read(stored.digest, stored.size, start, stop)
        assert reader.ready_piece() == BODY[start:stop]
        assert data(iter(reader)) == BODY[start:stop]


def test_equal_bytes_are_kept_once_and_go_with_the_last_that_names_them(
    cache: CacheDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cache.put(URL, BODY), cache.put(f"{URL}2", BODY)
    assert (cache.index.usage().blobs, cache.index.used_bytes()) == (1, len(BODY))
    monkeypatch.setattr(cache.blobs, "remove", lambda _digest: pytest.fail("there is no file"))
    cache.evict(first)
    assert cache.body(second) == BODY
    cache.evict(second)
    assert (cache.index.usage().blobs, cache.index.used_bytes()) == (0, 0)
    with pytest.raises(FileNotFoundError):
        cache.body(second)


def _cut(cache: CacheDir, _stored: Entry) -> None:
    with cache.database.write() as db:
        db.execute("UPDATE small_bodies SET content = ? WHERE content = ?", (BODY[:-1], BODY))


@pytest.mark.parametrize(
    ("damage", "error", "problem"),
    [
        (CacheDir.rot, Damaged, Problem.DIGEST),
        (CacheDir.lose, FileNotFoundError, Problem.MISSING),
        (_cut, Damaged, Problem.SIZE),
    ],
)
def test_what_is_damaged_is_found_and_comes_anew(
    cache: CacheDir,
    damage: Callable[[CacheDir, Entry], None],
    error: type[Exception],
    problem: Problem,
) -> None:
    stored, other = cache.put(URL, BODY), cache.put(f"{URL}/other", b"other")
    damage(cache, stored)
    with pytest.raises(error):
        cache.bodies.read_verified(stored.digest, stored.size, 0, stored.size)
    (finding,) = [one for one in cache.fsck.check() if one is not None]
    assert (finding.problem, finding.digest) == (problem, stored.digest)
    cache.put(f"{URL}/again", BODY)
    assert cache.body(stored) == BODY
    damage(cache, stored)
    cache.fsck.fix(finding)
    assert cache.stored(URL) == []
    assert cache.body(other) == b"other"


def test_a_full_disk_leaves_neither_body_nor_row(cache: CacheDir) -> None:
    cache.fill_up()
    permit = cache.lead()
    with pytest.raises(NoSpace):
        permit.store_at_once(whole(entry(), BODY * 10), BODY * 10)
    assert cache.stored(URL) == []
    assert cache.index.usage().blobs == 0


def test_killed_before_the_commit_nothing_is_left(
    cache: CacheDir, make_process: Callable[..., StoreProcess]
) -> None:
    process = make_process()
    process.call("join", URL)
    process.send("die_at_once", BODY.decode())
    process.wait_killed()
    digest = hashlib.sha256(BODY).hexdigest()
    assert not cache.blob_rows.has_blob(digest)
    assert cache.put(f"{URL}2", BODY).digest == digest
    assert list(cache.fsck.check()) == [None]


def test_their_room_is_that_of_their_pages_and_comes_back(cache: CacheDir) -> None:
    space = cache.space()
    empty = cache.removals.footprint()
    stored = [cache.put(f"{URL}/{n}", b"%04d" % n * 2000) for n in range(300)]
    taken = cache.removals.footprint()
    assert taken.bodies == 0
    assert taken.index - empty.index >= 300 * 8000
    cache.evict(*stored)
    left = cache.removals.footprint()
    assert left.spare >= 300 * 8000
    assert left.index - empty.index < 300 * 1000
    space.collect()
    left = cache.removals.footprint()
    assert left.index + left.spare < taken.index // 2


def test_the_cache_keeps_its_size(cache: CacheDir) -> None:
    space = cache.space(max_size=4 << 20)
    for number in range(400):
        cache.put(f"{URL}/{number}", b"%04d" % number * 4000)
        if number % 10 == 0:
            space.collect()
            assert cache.removals.footprint().total <= 4 << 20
    # No more goes than has to.
    assert cache.index.used_bytes() > 3 << 20


def test_an_index_from_before_small_bodies_keeps_what_it_names(cache: CacheDir) -> None:
    """All bodies were in files, small ones as well."""
    large = cache.put(f"{URL}/large", os.urandom(LARGEST_IN_INDEX + 1))
    small = cache.put(URL, BODY)
    cache.blobs.write(small.digest, BODY)
    rows = cache.database.select("SELECT digest, size FROM blobs")
    bring_back_to_5(cache)
    with cache.database.write() as db:
        db.execute("DROP TABLE blobs")
        db.execute("CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID")
        db.executemany("INSERT INTO blobs VALUES (?, ?)", rows)
        db.execute("UPDATE usage SET allocated = 5 * 4096 + 4096")
        db.execute("PRAGMA user_version = 4")
    cache.close()
    after = CacheDir(cache.path)
    assert after.database.select("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert [after.body(one) for one in (small, large)] == [BODY, cache.body(large)]
    assert after.removals.footprint().bodies == 6 * 4096
    # What comes again comes into the index.
    again = after.put(f"{URL}/again", BODY)
    assert after.removals.footprint().bodies == 5 * 4096
    assert after.body(again) == BODY
    assert [one.problem for one in after.fsck.check() if one is not None] == [Problem.STRAY]
    after.index.purge([URL, again.key, large.key])
    after.removals.drop_unnamed(after.blobs)
    assert after.removals.footprint().bodies == 0
    after.close()
