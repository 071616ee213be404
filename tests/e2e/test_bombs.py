"""Origins that choose what remembering costs: others are served as before, and the memory stays level."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]
MB = 1 << 20


def many_names(asked: Asked) -> str:
    return ", ".join(f"x{n}" for n in range(20_000))


def other_names(asked: Asked) -> str:
    number = asked.path.rpartition("/")[2]
    return ", ".join(f"x{number}-{n}" for n in range(60))


@pytest.mark.parametrize("names", [many_names, other_names])
def test_names_in_vary(origin: Origin, make_proxy: MakeProxy, names: Callable[[Asked], str]) -> None:
    def handler(asked: Asked) -> Resource:
        return Resource(b"body", cache_control="max-age=600", headers=[("Vary", names(asked))])

    proxy = make_proxy(workers=1)
    origin.put("/other", b"other", cache_control="max-age=600")
    for _ in range(3):
        proxy.get(origin.url("/other"))
    for number in range(60):
        origin.put(f"/a/{number}", handler=handler)
        for _ in range(3):
            assert proxy.get(origin.url(f"/a/{number}")).body == b"body"
        assert proxy.get(origin.url("/other")).body == b"other"
    assert origin.count("/other") == 1
    assert all(proxy.rss(worker) < 150 * MB for worker in proxy.worker_pids())
