"""What a client's leaving ends, and what goes on without it."""

from __future__ import annotations

import contextlib

import pytest

from pyproxycache.cancellation import Cancellation
from pyproxycache.errors import ClientGone, UpstreamError


def test_what_is_tied_is_broken_off() -> None:
    cancellation, broken = Cancellation(), []

    def wait() -> None:
        assert cancellation.cancel()
        assert broken == [1]
        raise UpstreamError("the connection ended")  # as whoever waits for it finds

    with pytest.raises(ClientGone), cancellation.tied(lambda: broken.append(1)):
        wait()


def test_what_has_come_by_then_is_of_no_use() -> None:
    cancellation = Cancellation()
    with pytest.raises(ClientGone), cancellation.tied(lambda: None):
        cancellation.cancel()


def test_nothing_more_begins_for_who_has_gone() -> None:
    cancellation, begun = Cancellation(), []
    with contextlib.suppress(ClientGone), cancellation.tied(lambda: None):
        cancellation.cancel()
    with pytest.raises(ClientGone), cancellation.tied(lambda: None):
        begun.append(1)
    assert begun == []


def test_an_error_of_its_own_stays_what_it_is() -> None:
    cancellation = Cancellation()
    with pytest.raises(UpstreamError), cancellation.tied(lambda: None):
        raise UpstreamError("no answer")


def test_what_is_over_is_not_broken_off() -> None:
    """By then the connection may be another request's."""
    cancellation, broken = Cancellation(), []
    with cancellation.tied(lambda: broken.append(1)):
        pass
    with contextlib.suppress(UpstreamError), cancellation.tied(lambda: broken.append(2)):
        raise UpstreamError("no answer")
    assert not cancellation.cancel()
    assert broken == []
    with cancellation.tied(lambda: broken.append(3)):  # nor has it lost anything by that
        pass


def test_what_others_want_goes_on() -> None:
    cancellation, broken, others = Cancellation(), [], [True]
    with cancellation.shared(lambda: others[0]):
        with cancellation.tied(lambda: broken.append(1)):
            assert not cancellation.cancel()
        others[0] = False
        with pytest.raises(ClientGone), cancellation.tied(lambda: broken.append(2)):
            cancellation.cancel()
    assert broken == [2]
