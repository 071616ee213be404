"""What the tests of the whole server stand on: an origin, and proxies that leave nothing running."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate, make_certificate
from harness import Proxy
from hypothesis import settings
from origin import Origin, OriginProcess

# What a shell starts in the background ignores these, and so would what the tests start.
for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL)

# How long an example takes says what else the machine does.
# A check of one state of the project always tries the same inputs; `make explore` looks for others.
settings.register_profile("check", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("check")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses names that differ from process to process: tests could not be shared out among several.

    Stress tests come first, as their files take long: at the end, one process would work at them alone.
    """
    nameless = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if nameless:
        raise pytest.UsageError(f"{nameless[0]}: its parameters have no names of their own; use ids")
    items.sort(key=lambda item: "stress" not in item.path.parts)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1, which is its own authority."""
    return make_certificate(tmp_path_factory.mktemp("certificate"), "IP:127.0.0.1")


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin in this process."""
    with Origin() as running:
        yield running


@pytest.fixture
def origin_process() -> Iterator[Origin]:
    """An origin in a process of its own, for loads that must not share this one's GIL."""
    with OriginProcess() as running:
        yield running


@pytest.fixture
def make_proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies, each in its own folder: `make_proxy(workers=2, config={...})`; Proxy's options."""
    made: list[Proxy] = []
    numbers = count(1)

    def make(**options: Any) -> Proxy:
        proxy = Proxy(tmp_path / f"proxy-{next(numbers)}", **options)
        made.append(proxy)
        return proxy.start()

    yield make
    for proxy in made:
        proxy.close()
        # pytest shows what a teardown printed for the tests that failed, and only for those.
        print(f"--- log of the proxy at {proxy.netloc}\n{proxy.log()}")


@pytest.fixture
def proxy(make_proxy: Callable[..., Proxy]) -> Proxy:
    """One proxy with one worker and no configuration."""
    return make_proxy()
