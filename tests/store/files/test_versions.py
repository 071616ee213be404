"""The versions of keys: every change is seen, by every process, and a crash hides none."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cachedir import CacheDir, asking, entry

from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry
from pyproxycache.store.files.versions import Versions

URL = "http://origin.example/a"
GROUPED = replace(entry(URL), groups=("g",))


def purge(cache: CacheDir) -> None:
    cache.index.purge([URL])


def purge_group(cache: CacheDir) -> None:
    assert cache.index.purge_group("g", None) == 1


def replace_it(cache: CacheDir) -> None:
    cache.insert([replace(GROUPED, response_time=GROUPED.response_time + 1)])


def add_variant(cache: CacheDir) -> None:
    cache.insert([replace(GROUPED, vary=(("accept", "x"),))])


def freshen(cache: CacheDir) -> None:
    assert cache.index.freshen(stored(cache))


def shorten(cache: CacheDir) -> None:
    cache.index.shorten(stored(cache), 1.0)


def forget(cache: CacheDir) -> None:
    cache.index.forget(stored(cache))


def evict(cache: CacheDir) -> None:
    cache.evict(stored(cache))


def drop_blob(cache: CacheDir) -> None:
    assert cache.blob_rows.drop_blob(stored(cache).digest, cache.blobs) == 1


def stored(cache: CacheDir) -> Entry:
    (found,) = cache.index.lookup(URL, asking())
    return found


@pytest.mark.parametrize(
    "change", [purge, purge_group, replace_it, add_variant, freshen, shorten, forget, evict, drop_blob]
)
def test_every_change_is_seen(tmp_path: Path, change: Callable[[CacheDir], None]) -> None:
    cache = CacheDir(tmp_path)
    cache.insert([GROUPED])
    before = cache.index.stamp(URL)
    change(cache)
    after = cache.index.stamp(URL)
    assert before is not None
    assert after is not None
    assert before != after
    cache.close()


def test_an_access_is_no_change(tmp_path: Path) -> None:
    cache = CacheDir(tmp_path)
    cache.insert([GROUPED])
    before = cache.index.stamp(URL)
    cache.index.touch({stored(cache).id: (2e9, 3)}, {"requests": 1})
    assert cache.index.stamp(URL) == before
    cache.close()


def test_a_change_in_another_process_is_seen(tmp_path: Path) -> None:
    cache = CacheDir(tmp_path)
    cache.insert([GROUPED])
    before = cache.index.stamp(URL)
    command = [sys.executable, "-m", "pyproxycache", "purge", "--cache-dir", str(cache.path), URL]
    subprocess.run(command, check=True, capture_output=True)
    assert cache.index.stamp(URL) != before
    cache.close()


def test_a_change_that_is_taken_back_leaves_the_key_known(tmp_path: Path) -> None:
    cache = CacheDir(tmp_path)
    before = cache.index.stamp(URL)
    with contextlib.suppress(RuntimeError), cache.database.write() as db:
        db.execute("INSERT INTO flights VALUES (?, '', '', '', '', NULL, 0)", (URL,))
        db.execute("DELETE FROM flights")
        raise RuntimeError
    assert before is not None
    assert cache.index.stamp(URL) is not None
    cache.close()


def test_a_writer_that_dies_in_its_commit_leaves_nothing_known_until_the_next(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "versions")
    mine, other = versions.slot("a"), versions.slot("b")
    before = versions.stamp("a")
    versions.begin([mine])  # and dies
    assert versions.stamp("a") is None
    assert versions.stamp("b") is not None
    versions.begin([other])
    versions.end([other])
    after = versions.stamp("a")
    assert after is not None
    assert after != before


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="versions"):
        Versions(tmp_path / "missing" / "versions")


class TestUnknown:
    """Keys that nothing was ever stored under are known without asking the index."""

    def is_unknown(self, cache: CacheDir, key: str) -> bool:
        return cache.index.is_unknown(key, key.partition("?")[0])

    def test_until_something_comes(self, cache: CacheDir) -> None:
        assert self.is_unknown(cache, URL)
        cache.put(f"{URL}2", b"body")
        assert self.is_unknown(cache, URL)
        cache.put(URL, b"body")
        assert not self.is_unknown(cache, URL)
        cache.index.purge([URL])
        assert not self.is_unknown(cache, URL)

    def test_what_is_found_without_its_query(self, cache: CacheDir) -> None:
        cache.put(f"{URL}?a", b"body")
        assert self.is_unknown(cache, f"{URL}?b")
        head = replace(entry(f"{URL}?c"), search=URL)
        cache.insert([head])
        assert not self.is_unknown(cache, f"{URL}?b")

    def test_what_becomes_so(self, cache: CacheDir) -> None:
        stored = cache.put(f"{URL}?a", b"body")
        assert cache.index.freshen(replace(stored, search=URL))
        assert not self.is_unknown(cache, f"{URL}?b")

    def test_what_is_older_than_the_versions(self, cache: CacheDir) -> None:
        cache.put(URL, b"body")
        (cache.path / "versions").unlink()
        other = CacheDir(cache.path)
        assert not self.is_unknown(other, URL)
        other.close()
