"""A cache folder of its own for each test, and processes that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cachedir import CacheDir
from storeprocess import StoreProcess

from pyproxycache.store.files.footprint import LARGEST_IN_INDEX


@pytest.fixture
def largest_in_index(request: pytest.FixtureRequest) -> int:
    return 0 if request.node.get_closest_marker("in_files") else LARGEST_IN_INDEX


@pytest.fixture
def cache(tmp_path: Path, largest_in_index: int) -> Iterator[CacheDir]:
    made = CacheDir(tmp_path / "cache", largest_in_index=largest_in_index)
    yield made
    made.close()


@pytest.fixture
def make_process(tmp_path: Path, largest_in_index: int) -> Iterator[Callable[..., StoreProcess]]:
    """Starts processes that use the test's cache folder: `make_process(lease=1.0, silence=1.0)`."""
    made: list[StoreProcess] = []

    def make(lease: float = 60.0, silence: float = 60.0) -> StoreProcess:
        made.append(StoreProcess(tmp_path / "cache", lease, silence, largest_in_index))
        return made[-1]

    yield make
    for process in made:
        process.kill()
