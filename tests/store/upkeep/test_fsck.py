"""Damage of each kind is found, removed, and does not come back."""

import os
import sqlite3
from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir

from pyproxycache.messages import Entry
from pyproxycache.store.upkeep.fsck import Problem

pytestmark = pytest.mark.in_files


def missing(cache: CacheDir, stored: Entry) -> None:
    cache.blobs.path(stored.digest).unlink()


def cut(cache: CacheDir, stored: Entry) -> None:
    os.truncate(cache.blobs.path(stored.digest), 2)


def changed(cache: CacheDir, stored: Entry) -> None:
    cache.blobs.path(stored.digest).write_bytes(b"BODY")


def unreadable(cache: CacheDir, stored: Entry) -> None:
    """An error of the system's for this one alone."""
    path = cache.blobs.path(stored.digest)
    path.unlink()
    path.symlink_to(path)


def without_row(cache: CacheDir, stored: Entry) -> None:
    with sqlite3.connect(cache.database.path) as connection:
        connection.execute("DELETE FROM blobs WHERE digest = ?", (stored.digest,))
    connection.close()


@pytest.mark.parametrize(
    ("damage", "problems"),
    [
        (missing, [Problem.MISSING]),
        (cut, [Problem.SIZE]),
        (changed, [Problem.DIGEST]),
        (unreadable, [Problem.UNREADABLE]),
        (without_row, [Problem.UNBACKED, Problem.STRAY]),
    ],
)
def test_damage_is_found_and_fixed(
    cache: CacheDir, damage: Callable[[CacheDir, Entry], None], problems: list[Problem]
) -> None:
    stored = cache.put(URL, b"body")
    whole = cache.put(f"{URL}2", b"whole")
    damage(cache, stored)
    found = [finding for finding in cache.fsck.check() if finding is not None]
    assert [finding.problem for finding in found] == problems
    assert {finding.digest for finding in found} == {stored.digest}
    for finding in found:
        cache.fsck.fix(finding)
    assert list(cache.fsck.check()) == [None]
    assert cache.stored(URL) == []
    assert cache.body(whole) == b"whole"
    assert cache.body(cache.put(URL, b"body")) == b"body"


def test_a_stray_file_is_found_and_fixed(cache: CacheDir) -> None:
    stray = cache.blobs.path("ab" * 32)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"whose?")
    (finding,) = cache.fsck.check()
    assert finding is not None
    assert finding.problem is Problem.STRAY
    cache.fsck.fix(finding)
    assert list(cache.fsck.check()) == []
    assert not stray.exists()


def test_what_is_no_blob_is_left_alone(cache: CacheDir) -> None:
    """As a file manager or a file system of its own leaves such things in each folder."""
    cache.put(URL, b"x" * 100_000)
    folder = cache.blobs.path("ab" * 32).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "note").write_text("mine")
    (folder.parent / "lost+found").mkdir()
    (folder.parent / "lost+found" / "ab").write_text("mine")
    (folder / "note").write_text("mine")
    (folder / ("ab" * 32)).mkdir()
    assert list(cache.fsck.check()) == [None]
    cache.blobs.remove_all()
    assert (folder.parent / "note").exists()
    assert (folder / "note").exists()


def test_what_was_evicted_meanwhile_is_no_damage(cache: CacheDir) -> None:
    for number in range(3):
        cache.put(f"{URL}{number}", str(number).encode())
    checking = cache.fsck.check()
    found = [next(checking)]
    cache.space(max_size=0).collect()
    assert [*found, *checking] == [None, None, None]
