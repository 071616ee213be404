"""Who may download and commit, and what is left when a process is killed on the way."""

import hashlib
import os
from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir, entry, whole
from storeprocess import StoreProcess

from pyproxycache.errors import StoreError
from pyproxycache.store.claims import Claim, Taken, Won

MakeProcess = Callable[..., StoreProcess]
BODY = b"the whole body"


def claim(cache: CacheDir, token: str = "t", **options: list[str]) -> Won | Taken:
    found = cache.claims.claim(URL, token, "nobody", 1000.0, **options)
    assert isinstance(found, Won | Taken)
    return found


def won(cache: CacheDir, token: str = "t", **options: list[str]) -> Won:
    found = claim(cache, token, **options)
    assert isinstance(found, Won)
    return found


def begin(cache: CacheDir, body: bytes = BODY) -> Won:
    """A claim whose head is recorded and whose body is in its file."""
    found = won(cache)
    claimed = Claim(URL, found.claim.token, "nobody", found.claim.partial, entry())
    assert cache.claims.record(claimed)
    found.file.write(body)
    return Won(claimed, found.file)


def test_one_leads_while_it_lives(cache: CacheDir) -> None:
    first = begin(cache)
    assert claim(cache, "second") == Taken(first.claim)
    first.file.release()
    second = won(cache, "second")
    assert (second.claim.token, second.claim.partial) == ("second", first.claim.partial)
    assert (second.claim.entry, second.file.size) == (entry(), len(BODY))


def test_only_the_current_token_commits(cache: CacheDir) -> None:
    first = begin(cache)
    second = won(cache, "second", expired=["t"])
    assert second.file.path != first.file.path
    assert cache.claims.store(first.claim, whole(entry(), BODY), first.file) is None
    assert not cache.claims.record(first.claim)
    cache.claims.finish(first.claim)
    assert cache.claims.current(URL) == "second"
    assert cache.stored(URL) == []
    assert cache.blob_files() == []


def test_a_head_without_a_body_is_not_resumed(cache: CacheDir) -> None:
    begin(cache, b"").file.release()
    assert won(cache).claim.entry is None


def test_a_lost_file_is_replaced(cache: CacheDir) -> None:
    first = begin(cache)
    first.file.discard()
    second = won(cache, "second")
    assert (second.file.size, second.claim.entry) == (0, None)


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
    successor = won(cache)
    successor.file.write(b"another body")
    assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert cache.space().recover() == 1
    assert cache.blob_files() == []
    assert cache.partial_files() == [successor.file.path]


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
    found = begin(cache)
    path = found.file.path
    written = path.stat().st_mtime
    os.utime(path, (written - age, written - age))
    if not with_row:
        cache.index.purge([URL])
    if not alive:
        found.file.release()
    assert cache.space().recover() == removed
    assert path.exists() is not removed
    assert (cache.claims.current(URL) is not None) is (with_row and not removed)


def test_a_full_disk_at_the_claim_leaves_nothing(cache: CacheDir) -> None:
    cache.fill_up()
    for number in range(3):
        with pytest.raises(StoreError):
            cache.claims.claim(f"{URL}{'x' * 100_000}{number}", f"t{number}", "nobody", 1000.0)
    assert cache.partial_files() == []
    assert cache.open_files() == set()


def test_a_full_disk_at_the_commit_leaves_no_blob(cache: CacheDir) -> None:
    found = begin(cache)
    cache.fill_up()
    long = whole(entry(X_Long="x" * 100_000), BODY)
    with pytest.raises(StoreError):
        cache.claims.store(found.claim, long, found.file)
    assert cache.blob_files() == []
    assert cache.claims.current(URL) == "t"
    # With room again the same download can still be committed.
    cache.database.close()
    assert cache.claims.store(found.claim, long, found.file) is not None
    assert cache.body(cache.stored(URL)[0]) == BODY


def test_refusals_are_forgotten_in_time(cache: CacheDir) -> None:
    cache.claims.finish(won(cache).claim, not_storable_until=2000.0)
    assert cache.index.keys() == [URL]
    cache.claims.forget_expired(1999.0)
    assert cache.index.keys() == [URL]
    cache.claims.forget_expired(2001.0)
    assert cache.index.keys() == []
    assert isinstance(cache.claims.claim(URL, "another", "nobody", 1000.0), Won)
