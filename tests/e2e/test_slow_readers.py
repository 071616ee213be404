"""A body that is not stored, for a client that reads and one that does not: who is slow goes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import Proxy
from origin import Generated, Origin

MakeProxy = Callable[..., Proxy]

MB = 1 << 20
BODY = Generated(64 * MB, seed=9)


@pytest.mark.parametrize(
    ("options", "goes_on"),
    [
        ({"etag": '"1"'}, True),
        ({"etag": '"1"', "ranges": False}, True),
        ({"etag": 'W/"1"'}, False),
    ],
    ids=["by range", "whole again", "weak tag"],
)
def test_who_is_slow_goes_alone(
    make_proxy: MakeProxy, origin: Origin, options: dict[str, Any], goes_on: bool
) -> None:
    # Without a length it is not known to be too large before it is.
    origin.put("/large", BODY, chunked=True, cache_control="max-age=60", **options)
    gate = origin.gate("/large", at=MB // 2)
    proxy = make_proxy(threads=8, config={"store": {"max_object": "1M"}})
    slow, fast = (proxy.download(origin.url("/large"), expected=BODY) for _ in range(2))
    for download in (slow, fast):
        download.begun(1000)
    gate.wait_reached()
    gate.open()
    assert fast.run().correct, fast.error
    assert fast.complete
    assert slow.run().correct is goes_on, slow.error
    assert slow.complete is goes_on
    assert slow.received == BODY.size or not goes_on
    # The rest was asked for, for the slow one alone.
    assert origin.count("/large") == (2 if goes_on else 1)
