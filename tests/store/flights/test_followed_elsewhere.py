"""Flights between processes: followed, killed, hung, taken over."""

import signal
import time
from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir
from storeprocess import StoreProcess

from pyproxycache import errors
from pyproxycache.errors import ProxyError

MakeProcess = Callable[..., StoreProcess]


def leading(make_process: MakeProcess, text: str = "first ") -> StoreProcess:
    leader = make_process()
    assert leader.call("join", URL) == ["lead", 0, None]
    leader.call("begin", None)
    leader.call("write", text)
    return leader


def following(make_process: MakeProcess, lease: float = 60.0, silence: float = 60.0) -> StoreProcess:
    follower = make_process(lease, silence)
    assert follower.call("join", URL) == ["follow"]
    assert follower.call("head") == ['"1"', None]
    follower.call("open")
    return follower


def test_followers_get_all_of_it(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    followers = [following(make_process) for _ in range(2)]
    for follower in followers:
        assert follower.call("read", 6) == ["first ", "more"]
        follower.send("read")
    for text in ("second ", "third"):
        leader.call("write", text)
    digest = leader.call("store")
    for follower in followers:
        assert follower.answer() == ["second third", "end"]
        assert follower.call("stored", URL) == [digest]


def test_a_follower_may_come_before_the_head(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, follower = make_process(), make_process()
    leader.call("join", URL)
    follower.call("join", URL)
    follower.send("head")
    leader.call("begin", None, '"7"')
    assert follower.answer() == ['"7"', None]


def test_a_body_that_came_at_once_is_followed(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, follower = make_process(), make_process()
    leader.call("join", URL)
    assert follower.call("join", URL) == ["follow"]
    leader.call("wait_asked")
    digest = leader.call("store_at_once", "body")
    assert follower.call("head") == ['"1"', "stored"]
    follower.call("open")
    assert follower.call("read") == ["body", "end"]
    assert follower.call("stored", URL) == [digest]
    assert follower.call("join", URL) == ["lead", 0, None]


def test_a_leader_killed_before_the_head_is_succeeded(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, first, second = make_process(), make_process(), make_process()
    leader.call("join", URL)
    for follower in (first, second):
        assert follower.call("join", URL) == ["follow"]
        follower.send("head")
    leader.kill()
    for follower in (first, second):
        assert follower.answer() == [None, "orphaned"]
    assert first.call("join", URL) == ["lead", 0, None]
    assert second.call("join", URL) == ["follow"]


def test_a_leader_that_hangs_before_the_head_loses_the_key(
    cache: CacheDir, make_process: MakeProcess
) -> None:
    leader, follower, other = make_process(), make_process(lease=0.5), make_process()
    leader.call("join", URL)
    leader.signal(signal.SIGSTOP)
    assert follower.call("join", URL) == ["follow"]
    assert follower.call("head") == [None, "lost"]
    assert follower.call("join", URL) == ["lead", 0, None]
    assert other.call("join", URL) == ["follow"]
    follower.call("wait_asked")
    digest = follower.call("store_at_once", "new")
    # The key is free for all at once, not only where the leader was found silent.
    assert other.call("head") == ['"1"', "stored"]
    assert other.call("join", URL) == ["lead", 0, None]
    leader.signal(signal.SIGCONT)
    assert leader.call("store_at_once", "old") is None
    assert other.call("stored", URL) == [digest]


def test_a_killed_leader_is_taken_over_where_it_was(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    first, second = following(make_process), following(make_process)
    for follower in (first, second):
        follower.send("read")
    leader.kill()
    for follower in (first, second):
        assert follower.answer() == ["first ", "Orphaned"]
    assert first.call("join", URL) == ["lead", 6, '"1"']
    # What the dead one left can be read before the new leader has heard from the origin: all but the
    # last byte, which could complete a body that turns out to be wrong.
    assert second.call("join", URL) == ["follow"]
    second.call("open")
    assert second.call("read", 5) == ["first", "more"]
    second.send("read")
    first.call("begin", None)
    first.call("write", "second")
    assert first.call("store") is not None
    assert second.answer() == [" second", "end"]
    (stored,) = cache.stored(URL)
    assert cache.body(stored) == b"first second"
    assert cache.partial_files() == []


def test_a_stopped_leader_leaves_its_part(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    follower = following(make_process)
    leader.call("leave")
    assert follower.call("read") == ["first ", "BrokenOff"]
    leader.kill()
    assert cache.space().recover() == 0
    assert make_process().call("join", URL) == ["lead", 6, '"1"']


def test_the_leader_may_lead_again_at_once(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    leader.call("leave")
    assert leader.call("join", URL) == ["lead", 6, '"1"']


def test_a_hung_leader_loses_the_key(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    follower = following(make_process, lease=0.5)
    leader.signal(signal.SIGSTOP)
    assert follower.call("read") == ["first ", "Orphaned"]
    assert follower.call("join", URL) == ["lead", 0, None]
    follower.call("begin", None, '"2"')
    follower.call("write", "another")
    leader.signal(signal.SIGCONT)
    leader.call("write", "second")
    assert leader.call("store") is None
    digest = follower.call("store")
    assert [one.digest for one in cache.stored(URL)] == [digest]
    assert cache.body(cache.stored(URL)[0]) == b"another"


@pytest.mark.parametrize("before_head", [False, True])
def test_a_leader_that_is_stopped_loses_the_key_long_before_its_lease_is_over(
    cache: CacheDir, make_process: MakeProcess, before_head: bool
) -> None:
    if before_head:
        leader, follower = make_process(), make_process(silence=0.5)
        leader.call("join", URL)
        leader.signal(signal.SIGSTOP)
        assert follower.call("join", URL) == ["follow"]
        assert follower.call("head") == [None, "lost"]
    else:
        leader = leading(make_process)
        follower = following(make_process, silence=0.5)
        leader.signal(signal.SIGSTOP)
        assert follower.call("read") == ["first ", "Orphaned"]
    assert follower.call("join", URL) == ["lead", 0, None]


@pytest.mark.parametrize("before_head", [False, True])
def test_a_leader_that_has_nothing_to_say_gives_signs_of_life(
    cache: CacheDir, make_process: MakeProcess, before_head: bool
) -> None:
    leader, follower = make_process(silence=2.0), make_process(silence=2.0)
    leader.call("join", URL)
    if not before_head:
        leader.call("begin", None)
    assert follower.call("join", URL) == ["follow"]
    follower.send("head")
    time.sleep(3.0)  # that is the point: for longer than it may be silent
    if before_head:
        leader.call("begin", None)
    assert follower.answer() == ['"1"', None]
    follower.call("open")
    leader.call("write", "body")
    leader.call("store")
    assert follower.call("read") == ["body", "end"]


def test_progress_renews_the_lease(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    follower = following(make_process, lease=1.0)
    follower.send("read")
    begun = now = leader.call("write", "")
    while now < begun + 2.0:
        now = leader.call("write", "")  # that there is nothing new is progress, too
    leader.call("write", "second")
    leader.call("store")
    assert follower.answer() == ["first second", "end"]


def test_a_flight_that_has_just_ended_is_lost(cache: CacheDir, make_process: MakeProcess) -> None:
    leader, follower = leading(make_process), make_process()
    leader.call("forget")
    assert follower.call("join", URL) == ["follow"]
    assert follower.call("head") == [None, "lost"]


@pytest.mark.parametrize("size", ["", "first "], ids=["empty", "with-bytes"])
def test_a_body_that_begins_anew(cache: CacheDir, make_process: MakeProcess, size: str) -> None:
    leader = leading(make_process, size)
    follower = following(make_process)
    # With bytes that a process may have given to a client, there is no beginning anew.
    assert leader.call("begin_anew", None, '"1"') is (size == "")
    if not size:
        leader.call("write", "anew")
        leader.call("store")
        assert follower.call("read") == ["anew", "end"]


def test_bytes_in_no_file_are_for_their_own_process(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    follower = following(make_process)
    follower.send("read")
    leader.call("finish_past_the_file", "second")
    given, end = follower.answer()
    assert ("first ".startswith(given), end) == (True, "Orphaned")  # as far as it got, never past the file
    assert follower.call("join", URL) == ["not storable"]


def test_a_purge_in_one_process_counts_in_all(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    follower, other = following(make_process), make_process()
    assert other.call("purge", URL) == 0
    assert follower.call("join", URL) == ["lead", 0, None]
    assert leader.call("store") is None
    assert other.call("stored", URL) == []
    follower.call("begin", None, '"2"')
    digest = follower.call("store")
    assert other.call("stored", URL) == leader.call("stored", URL) == [digest]
    assert other.call("purge", URL) == 1
    assert follower.call("stored", URL) == leader.call("stored", URL) == []


def test_a_waiter_in_another_process_is_woken(cache: CacheDir, make_process: MakeProcess) -> None:
    leader = leading(make_process)
    follower = following(make_process)
    delays = []
    for size in range(7, 57):
        follower.send("wait_size", size)
        told = leader.call("write", "x")
        delays.append(follower.answer() - told)
    # Much more than the aim, for a busy machine; a sleeping loop or a timeout would show in the median.
    assert sorted(delays)[len(delays) // 2] < 0.1


def kinds_of_error() -> list[type[ProxyError]]:
    named = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in named if issubclass(kind, ProxyError)]


@pytest.mark.parametrize("has_head", [False, True], ids=["before-the-head", "in-the-body"])
def test_followers_are_told_what_the_leader_was(
    cache: CacheDir, make_process: MakeProcess, has_head: bool
) -> None:
    leader, follower = make_process(), make_process()
    assert len(kinds_of_error()) > 12
    for number, kind in enumerate(kinds_of_error()):
        for proxy_error in (None, "dns_error"):
            key, text = f"{URL}/{number}/{proxy_error}", f"what \u201chappened\u201d, {number}"
            leader.call("join", key)
            if has_head:
                leader.call("begin", None)
            follower.call("join", key)
            leader.call("wait_asked")
            if has_head:
                follower.call("head")
            leader.call("fail", kind.__name__, text, proxy_error)
            told = [kind.__name__, text, kind.status, proxy_error or kind.proxy_error]
            assert follower.call("error") == told


def test_an_unknown_error_is_one_of_the_cache() -> None:
    assert errors.error_named("Unheard") is ProxyError
