"""Who may read the cache: its user alone."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cachedir import URL, CacheDir

from pyproxycache.options import StoreOptions
from pyproxycache.wiring.stored import open_store


def modes(folder: Path) -> dict[str, int]:
    """The bits of others, of all that lies there."""
    found = [folder, *folder.rglob("*")]
    return {str(path): path.stat().st_mode & 0o077 for path in found}


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """What a umask of nothing would let everybody read."""
    old = os.umask(0)
    yield
    os.umask(old)


def fill(folder: Path) -> None:
    cache = CacheDir(folder)
    cache.put(URL, b"secret")
    cache.lead(f"{URL}/growing").begin(cache.stored()[0], None)
    cache.space(max_size=1).collect()
    cache.close()


def test_a_new_cache_is_its_users_alone(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "cache")
    assert set(modes(tmp_path / "a" / "cache").values()) == {0}


def test_an_open_one_is_closed_to_others_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    fill(folder)
    opened = [folder, folder / "blobs", folder / "partial", *(p for p in folder.iterdir() if p.is_file())]
    for path in opened:
        path.chmod(0o755 if path.is_dir() else 0o644)
    with caplog.at_level(logging.WARNING):
        open_store(StoreOptions(path=folder)).database.close()
    assert {mode for path, mode in modes(folder).items() if "/partial/" not in path} == {0}
    assert all(f"{path} was open to others" in caplog.text for path in opened)


def test_a_folder_that_others_have_things_in_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    tmp_path.chmod(0o755)
    fill(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    closed = modes(tmp_path)
    assert [path for path, mode in closed.items() if mode] == [str(tmp_path), str(tmp_path / "theirs")]
