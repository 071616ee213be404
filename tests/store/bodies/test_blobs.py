"""Body files: one for equal bytes, whole or refused, and growing ones with a lock."""

import hashlib
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cachedir import URL, CacheDir, data

from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.store.bodies.blobs import BlobReader, Blobs, Damaged
from pyproxycache.store.bodies.partial import Partial

BODY = b"0123456789"
DIGEST = hashlib.sha256(BODY).hexdigest()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond the size (bytes), as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def grown(cache: CacheDir, name: str, body: bytes = BODY) -> Partial:
    file = Partial.create(cache.blobs.partial_path(name))
    file.write(body)
    return file


def test_equal_bytes_keep_one_blob(cache: CacheDir) -> None:
    first, second = grown(cache, "1"), grown(cache, "2")
    cache.blobs.keep(first.path, DIGEST)
    cache.blobs.keep(second.path, DIGEST)
    # That of which it is known what is in it.
    assert cache.blobs.path(DIGEST).stat().st_ino == second.path.stat().st_ino
    assert len(cache.blob_files()) == 1
    assert cache.blobs.path(DIGEST).relative_to(cache.path) == Path("blobs", DIGEST[:2], DIGEST)


def test_a_file_cut_short_is_replaced_not_adopted(cache: CacheDir) -> None:
    cache.blobs.keep(grown(cache, "1").path, DIGEST)
    os.truncate(cache.blobs.path(DIGEST), 3)
    with pytest.raises(Damaged, match="has 3 bytes instead of 10"):
        cache.blobs.open(DIGEST, len(BODY))
    cache.blobs.keep(grown(cache, "2").path, DIGEST)
    assert cache.blobs.path(DIGEST).read_bytes() == BODY


def test_what_is_not_there_says_so(cache: CacheDir) -> None:
    with pytest.raises(FileNotFoundError):
        cache.blobs.open(DIGEST, 10)
    with pytest.raises(FileNotFoundError):
        Partial.take_over(cache.blobs.partial_path("1"))
    with pytest.raises(StoreError):
        cache.blobs.keep(cache.blobs.partial_path("1"), DIGEST)


LARGE = 5 << 20


def grow_large(cache: CacheDir, name: str) -> Path:
    file = grown(cache, name)
    os.truncate(file.path, LARGE)
    return file.path


def removed(cache: CacheDir) -> None:
    cache.blobs.remove(DIGEST)
    assert not cache.blobs.path(DIGEST).exists()


def replaced(cache: CacheDir) -> None:
    cache.blobs.keep(grown(cache, "2").path, DIGEST)
    assert cache.blobs.path(DIGEST).read_bytes() == BODY


@pytest.mark.parametrize("lose", [removed, replaced])
def test_a_large_file_keeps_its_bytes_until_no_lock_is_held(
    cache: CacheDir, lose: Callable[[CacheDir], None]
) -> None:
    """The system takes some tenths of a second to free a gigabyte, and writers would wait for that."""
    partial = grow_large(cache, "1")
    cache.blobs.keep(partial, DIGEST)
    partial.unlink()
    lose(cache)
    assert [name.split(" ", 1)[1] for name in cache.open_files()] == [
        f"{cache.blobs.path(DIGEST)} (deleted)"
    ]
    cache.blobs.free_removed()
    assert cache.open_files() == set()


@pytest.mark.parametrize("by", ["drop_unnamed", "drop_blob", "drop_strays"])
def test_the_bytes_of_large_files_are_freed_outside_of_transactions(
    cache: CacheDir, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    stored, free, seen = cache.put(URL, b"x" * LARGE), cache.blobs.free_removed, []

    def look_then_free() -> None:
        seen.append(len(cache.open_files()))
        with cache.database.write():  # nobody holds the lock
            free()

    monkeypatch.setattr(cache.blobs, "free_removed", look_then_free)
    if by == "drop_unnamed":
        cache.index.purge([URL])
        cache.removals.drop_unnamed(cache.blobs)
    elif by == "drop_blob":
        cache.blob_rows.drop_blob(stored.digest, cache.blobs)
    else:
        cache.blobs.keep(grow_large(cache, "1"), DIGEST)
        cache.blob_rows.drop_strays([DIGEST], cache.blobs)
    assert seen == [1]
    assert cache.open_files() == set()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot use the cache folder .*file"):
        Blobs(tmp_path / "file").create_folders()


def test_folders_that_somebody_removed_are_empty_until_the_next_body_makes_them(cache: CacheDir) -> None:
    grown(cache, "1").discard()
    for name in ("partial", "blobs"):
        shutil.rmtree(cache.path / name, ignore_errors=True)
    assert cache.blobs.arriving() == (0, 0)
    assert list(cache.blobs.partial_tokens()) == []
    assert list(cache.blobs.digests()) == []
    file = grown(cache, "2")
    cache.blobs.keep(file.path, DIGEST)
    assert list(cache.blobs.partial_tokens()) == ["2"]
    assert list(cache.blobs.digests()) == [(DIGEST, 2)]


@pytest.mark.parametrize(("start", "stop", "expected"), [(0, 10, BODY), (3, 5, b"34"), (10, 10, b"")])
def test_a_reader_gives_its_slice_and_closes(
    cache: CacheDir, start: int, stop: int, expected: bytes
) -> None:
    cache.blobs.keep(grown(cache, "1").path, DIGEST)
    fd = cache.blobs.open(DIGEST, 10)
    reader = BlobReader(fd, start, stop)
    assert data(iter(reader)) == expected
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_writer_that_lives_keeps_its_file(cache: CacheDir) -> None:
    file = grown(cache, "1")
    assert Partial.take_over(file.path) is None
    file.release()
    successor = Partial.take_over(file.path)
    assert successor is not None
    assert successor.size == 10
    successor.write(b"abc")
    assert successor.digest() == hashlib.sha256(BODY + b"abc").hexdigest()
    assert successor.path.read_bytes() == BODY + b"abc"


def test_a_growing_file_that_somebody_cuts_short_is_noticed(cache: CacheDir) -> None:
    file = grown(cache, "1")
    os.truncate(file.path, 3)
    with pytest.raises(OSError, match="cut short to 3 of 10 bytes"):
        list(file.blocks())
    with pytest.raises(StoreError, match="cut short"):
        file.content()


def test_letting_go_of_a_file_frees_its_lock(cache: CacheDir) -> None:
    path = grown(cache, "1").path
    assert Partial.take_over(path) is not None


def test_no_room_to_write_counts_nothing_and_goes_on_later(cache: CacheDir) -> None:
    file = grown(cache, "1")
    with largest_file(15), pytest.raises(NoSpace):
        file.write(b"abcdefghij")
    assert file.size == 10
    assert file.digest() == DIGEST
    file.write(b"ABC")
    os.truncate(file.path, file.size)
    assert file.path.read_bytes() == BODY + b"ABC"
    assert file.digest() == hashlib.sha256(BODY + b"ABC").hexdigest()


@pytest.mark.parametrize("name", ["index.sqlite", "blobs/ab/body", "partial/token"])
def test_reading_writes_no_access_time(cache: CacheDir, name: str) -> None:
    if shutil.which("lsattr") is None:
        pytest.skip("e2fsprogs are not installed")
    path = cache.path / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(b"body")
    flags = subprocess.run(["lsattr", path], capture_output=True, text=True, check=False)
    if flags.returncode:
        pytest.skip("this file system has no such flags")
    assert "A" in flags.stdout.split()[0]
