"""When a member of a pool gets requests, by what was seen of it before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.upstream.pools.health import Health, HealthTerms

TERMS = HealthTerms(failures=3, pause=1.0, max_pause=8.0)


def after(events: str, terms: HealthTerms = TERMS) -> tuple[Health, float]:
    """The health after these events, and the time then.

    f: a failure, s: a success, F and S: the same of a request that tries the member, g: that is given, l:
    its client leaves, i and w: a health check finds it ill, or well, a digit: so many seconds pass.
    """
    health, now = Health(), 100.0
    for event in events:
        match event:
            case "f" | "F":
                health = health.failed(now, terms, is_trial=event == "F")
            case "s" | "S":
                health = health.succeeded(now, is_trial=event == "S")
            case "g":
                assert health.takes(now)
                health = health.given()
            case "l":
                health = health.left(is_trial=True)
            case "i" | "w":
                health = health.checked(now, is_well=event == "w")
            case _:
                now += int(event)
    return health, now


@pytest.mark.parametrize(
    ("events", "is_in", "takes"),
    [
        ("", True, True),
        ("ff", True, True),
        ("fff", False, False),
        ("ffsff", True, True),
        ("fff1", False, True),
        ("fff1g", False, False),  # one request at a time tries it
        ("fff1gl", False, True),
        ("fff1gs", False, False),  # that was asked before
        ("fff1gS", True, True),
        ("fff1gSff", True, True),
        ("fff1gF", False, False),
        ("fff1gF1", False, False),  # the second pause is longer
        ("fff1gF2", False, True),
        ("fffff", False, False),
        ("i", False, False),
        ("i9", False, False),
        ("iw", True, True),
        ("fffi", False, False),
        ("fff1i", False, False),
        ("fffw", False, False),  # it was never ill: what requests have met counts
        ("fffiw", True, True),
        ("ifff1", False, False),
        ("is", False, False),
    ],
)
def test_who_gets_requests(events: str, is_in: bool, takes: bool) -> None:
    health, now = after(events)
    assert (health.is_in, health.takes(now)) == (is_in, takes)


@pytest.mark.parametrize(
    ("events", "pause"),
    [
        ("fff", 1),
        ("fff1gF", 2),
        ("fff1gF2gF", 4),
        ("fff1gF2gF4gF", 8),
        ("fff1gF2gF4gF8gF", 8),
        ("fff1gSfff", 2),  # it flaps
        ("fff1gS7fff", 2),
        ("fff1gS8fff", 1),
        ("fff1gS4fff2gS4fff", 4),
        ("ff4f", 1),
    ],
)
def test_pauses_grow_while_it_does_not_stay_in(events: str, pause: float) -> None:
    health, now = after(events)
    assert health.wait(now, TERMS) == pause


def test_without_failures_it_stays_in() -> None:
    health, _now = after("f" * 50, HealthTerms(None, 1.0, 8.0))
    assert health.is_in


@given(st.text("fsFSliw1248", max_size=60))
def test_a_pause_ends(events: str) -> None:
    """Whatever happens, a member that is not ill may be tried after the longest pause."""
    health, now = after(events)
    if not health.is_ill and not health.is_tried:
        assert health.takes(now + TERMS.max_pause)
    assert health.wait(now, TERMS) <= TERMS.max_pause
