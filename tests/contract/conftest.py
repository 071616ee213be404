"""Each test runs on every backend: stores that this process opens, and others that use the same one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backends import BACKENDS, Backend, Limits, OpenedStore
from other_process import OtherProcess


@pytest.fixture(params=BACKENDS, ids=lambda kind: kind.__name__)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    made: Backend = request.param(tmp_path)
    return made


@pytest.fixture
def open_store(backend: Backend) -> Iterator[Callable[..., OpenedStore]]:
    """Opens the store once more: `open_store(max_size=1 << 20)`, as Limits has it."""
    opened: list[OpenedStore] = []

    def open_one(**limits: float) -> OpenedStore:
        opened.append(backend.open(Limits(**limits)))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., OpenedStore]) -> OpenedStore:
    return open_store()


@pytest.fixture
def make_process(backend: Backend, tmp_path: Path) -> Iterator[Callable[..., OtherProcess]]:
    """Starts processes that use the same store: `make_process(silence=1.0)`, as Limits has it."""
    made: list[OtherProcess] = []

    def make(**limits: float) -> OtherProcess:
        made.append(OtherProcess(type(backend).__name__, tmp_path, limits))
        return made[-1]

    yield make
    for process in made:
        process.kill()
