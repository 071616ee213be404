"""A cache folder of its own for each test, and processes that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cachedir import CacheDir
from storeprocess import StoreProcess


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CacheDir]:
    made = CacheDir(tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def make_process(tmp_path: Path) -> Iterator[Callable[..., StoreProcess]]:
    """Starts processes that use the test's cache folder: `make_process(lease=1.0, silence=1.0)`."""
    made: list[StoreProcess] = []

    def make(lease: float = 60.0, silence: float = 60.0) -> StoreProcess:
        made.append(StoreProcess(tmp_path / "cache", lease, silence))
        return made[-1]

    yield make
    for process in made:
        process.kill()
