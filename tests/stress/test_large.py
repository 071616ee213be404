"""Bodies of gigabytes and hundreds of followers, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Generated, Origin

MB = 1 << 20
MOST_MEMORY = 32 * MB

MakeProxy = Callable[..., Proxy]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framing", [{}, {"chunked": True}], ids=["length", "chunked"])
def test_two_gigabytes_do_not_raise_a_workers_memory(
    origin_process: Origin, make_proxy: MakeProxy, framing: dict[str, bool]
) -> None:
    body = Generated(2048 * MB, seed=30)
    origin_process.put("/warm", b"warm", cache_control="max-age=3600")
    origin_process.put("/large", body, etag='"1"', cache_control="max-age=3600", **framing)
    proxy = make_proxy(workers=1)
    for _ in range(3):
        proxy.get(origin_process.url("/warm"))
    (worker,) = proxy.worker_pids()
    before = proxy.reset_peak(worker)
    for _ in ("cold", "hit"):
        done = proxy.load([origin_process.url("/large")], 3, expected=body).result()
        assert done.ok
    assert proxy.peak(worker) - before < MOST_MEMORY
    assert origin_process.count("/large") == 1


@pytest.mark.timeout(300)
def test_five_hundred_followers(origin_process: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(10 * MB, seed=31)
    origin_process.put("/a", body, etag='"1"', cache_control="max-age=3600", rate=5 * MB)
    proxy = make_proxy(workers=2, threads=512)
    done = proxy.load([origin_process.url("/a")], 500, expected=body).result()
    assert [client.error for client in done.clients if client.error] == []
    assert done.ok
    assert origin_process.count("/a") == 1
