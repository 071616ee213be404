"""What a client may have done for nothing: bursts pass, floods do not, and real traffic pays for itself."""

from __future__ import annotations

import pytest

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode
from pyproxycache.front.http2.flood_guard import FloodGuard


def test_a_burst_passes_and_a_flood_does_not() -> None:
    guard = FloodGuard(0.0)
    for _ in range(1000):
        guard.count_frame(0.0)
    with pytest.raises(ConnectionFault) as caught:
        guard.count_frame(0.0)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


def test_time_makes_good() -> None:
    guard = FloodGuard(0.0)
    for second in range(100):
        for _ in range(200):
            guard.count_frame(float(second))
    for _ in range(1000):
        guard.count_frame(1000.0)  # and no more than at first gathers
    with pytest.raises(ConnectionFault):
        guard.count_frame(1000.0)


def test_windows_are_paid_for_by_content() -> None:
    guard = FloodGuard(0.0)
    for _ in range(10_000):
        guard.note_data_sent(16_384)
        for _ in range(8):
            guard.count_frame(0.0)


def test_resets_go_with_answers() -> None:
    guard = FloodGuard(0.0)
    for _ in range(10_000):
        guard.note_answered()
        guard.count_lost_stream(0.0)
    for _ in range(199):
        guard.count_lost_stream(0.0)
    with pytest.raises(ConnectionFault):
        guard.count_lost_stream(0.0)
