"""A client's interest in its answer: what its leaving ends, and what goes on without it."""

from __future__ import annotations

import contextlib

import pytest

from pyproxycache.errors import ClientGone, UpstreamError
from pyproxycache.interest import Interest


def test_what_is_tied_is_broken_off() -> None:
    interest, broken = Interest(), []

    def wait() -> None:
        assert interest.lose()
        assert broken == [1]
        raise UpstreamError("the connection ended")  # as whoever waits for it finds

    with pytest.raises(ClientGone), interest.tied(lambda: broken.append(1)):
        wait()


def test_what_has_come_by_then_is_of_no_use() -> None:
    interest = Interest()
    with pytest.raises(ClientGone), interest.tied(lambda: None):
        interest.lose()


def test_nothing_more_begins_for_who_has_gone() -> None:
    interest, begun = Interest(), []
    with contextlib.suppress(ClientGone), interest.tied(lambda: None):
        interest.lose()
    with pytest.raises(ClientGone), interest.tied(lambda: None):
        begun.append(1)
    assert begun == []


def test_an_error_of_its_own_stays_what_it_is() -> None:
    interest = Interest()
    with pytest.raises(UpstreamError), interest.tied(lambda: None):
        raise UpstreamError("no answer")


def test_what_is_over_is_not_broken_off() -> None:
    """By then the connection may be another request's."""
    interest, broken = Interest(), []
    with interest.tied(lambda: broken.append(1)):
        pass
    with contextlib.suppress(UpstreamError), interest.tied(lambda: broken.append(2)):
        raise UpstreamError("no answer")
    assert not interest.lose()
    assert broken == []
    with interest.tied(lambda: broken.append(3)):  # nor has it lost anything by that
        pass


def test_what_others_want_goes_on() -> None:
    interest, broken, others = Interest(), [], [True]
    with interest.shared(lambda: others[0]):
        with interest.tied(lambda: broken.append(1)):
            assert not interest.lose()
        others[0] = False
        with pytest.raises(ClientGone), interest.tied(lambda: broken.append(2)):
            interest.lose()
    assert broken == [2]
