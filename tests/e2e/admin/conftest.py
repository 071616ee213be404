"""Servers with an admin listener."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asked_admin import Admin, MakeAdmin, config_with, reserved
from harness import Proxy


@pytest.fixture
def admin(make_proxy: Callable[..., Proxy]) -> Iterator[MakeAdmin]:
    """Makes a server with an admin listener; `config` is the rest of its configuration."""
    with contextlib.ExitStack() as held:

        def make(config: dict[str, Any] | None = None, **options: Any) -> Admin:
            address = held.enter_context(reserved())
            return Admin(make_proxy(config={**config_with(address), **(config or {})}, **options), address)

        yield make
