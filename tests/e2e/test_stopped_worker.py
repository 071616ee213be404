"""A worker that is stopped (SIGSTOP) while it downloads: those who follow in other workers take over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Generated, Origin

MakeProxy = Callable[..., Proxy]

BODY = Generated(4 << 20, seed=21)


@pytest.mark.parametrize("at", [None, 1 << 20], ids=["before the head", "in the body"])
def test_followers_take_over(make_proxy: MakeProxy, origin: Origin, at: int | None) -> None:
    origin.put("/file", BODY, etag='"1"', cache_control="max-age=60")
    gate = origin.gate("/file", at=at)
    proxy = make_proxy(workers=2, threads=8, config={"fetch": {"worker_silence": "1s"}})
    url = origin.url("/file")
    first = proxy.download(url)
    first.open()
    gate.wait_reached()
    (leader,) = (pid for pid in proxy.worker_pids() if proxy.connections(pid))
    os.kill(leader, signal.SIGSTOP)
    try:
        gate.open()
        # Only the other worker accepts it.
        follower = proxy.download(url, expected=BODY, timeout=30.0).run()
        assert follower.correct, follower.error
        assert follower.complete
        assert origin.count("/file") == 2
    finally:
        os.kill(leader, signal.SIGCONT)
    assert first.run().complete
