"""A fault of the cache's own with one connection: no other one is reached by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from inprocess import Front
from origin import Origin
from raw import Conversation, request
from waiting import until

from pyproxycache.options import LimitOptions


def test_a_connection_that_fails_while_a_thread_has_it(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    origin.put("/slow", b"slow body")
    gate = origin.gate("/slow")
    limits = LimitOptions(half_closed=None)  # type: ignore[arg-type]  # nothing can be added to it
    with Front(tmp_path, limits=limits) as front, Conversation(front.address) as first:
        first.send(request(f"GET {origin.url('/slow')}"))
        gate.wait_reached()
        first.finish()
        until(lambda: "failed inside the cache" in caplog.text)
        with Conversation(front.address) as second:  # whose descriptor may have the same number
            second.send(request("GET /api/v1/health/"))
            assert second.reply().body == b"ok"
            gate.open()
            assert first.reply().body == b"slow body"
            front.told(0, 2)
            second.send(request("GET /api/v1/health/"))
            assert second.reply().body == b"ok"
    # Nothing else came of it.
    assert caplog.text.count("Traceback") == caplog.text.count("TypeError: unsupported operand")
