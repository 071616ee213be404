"""Bodies and Room: a body is stored whole or not at all, is read as it was written, and has its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from backends import Backend, OpenedStore
from other_process import OtherProcess
from responses import LARGE, SMALL, URL, found, grow, joined, keep, lead, response, stored_bytes, whole

from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.store.values import BodyGone, End

OTHER = "http://origin.example/b"
MEDIUM = bytes(range(250)) * 160
"""40 KB: less than what is compared with its digest when it is opened."""


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("body", [b"", SMALL, MEDIUM, LARGE], ids=len)
def test_a_body_is_read_as_it_was_written(
    store: OpenedStore, open_store: Callable[..., OpenedStore], body: bytes, grows: bool
) -> None:
    entry = keep(store, response(), body, grows=grows)
    assert found(store) == [entry]
    for one in (store, open_store()):
        assert stored_bytes(one, entry) == body


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=len)
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (3, 7), (9, 10), (10, 10)])
def test_any_slice_can_be_read(store: OpenedStore, body: bytes, start: int, stop: int) -> None:
    entry = keep(store, response(), body)
    assert stored_bytes(store, entry, start, stop) == body[start:stop]


def test_a_stored_body_is_there_without_waiting(store: OpenedStore) -> None:
    entry = keep(store, response(), SMALL)
    reader = store.bodies.open(entry.digest, entry.size, 0, entry.size)
    got = b""
    while len(got) < len(SMALL):
        piece = reader.take(lambda: None)
        assert piece is not None, "nothing is to be waited for"
        got += joined([piece])
    assert got == SMALL
    with pytest.raises(StopIteration):
        reader.take(lambda: None)


@pytest.mark.parametrize("remove", ["purge", "forget", "replace"])
def test_a_body_that_is_removed_is_read_to_its_end(store: OpenedStore, remove: str) -> None:
    entry = keep(store, response(), LARGE)
    reader = store.bodies.open(entry.digest, entry.size, 0, entry.size)
    if remove == "purge":
        store.index.purge([URL])
    elif remove == "forget":
        store.index.forget(entry)
    else:
        keep(store, response(at=2000.0), b"new")
    assert joined(reader) == LARGE


def test_equal_bodies_are_independent(store: OpenedStore) -> None:
    entry = keep(store, response(), LARGE)
    keep(store, response(OTHER), LARGE, grows=True)
    store.index.purge([OTHER])
    assert found(store) == [entry]
    assert stored_bytes(store, entry) == LARGE


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_reader_that_is_closed_holds_nothing(store: OpenedStore) -> None:
    entry = keep(store, response(), LARGE)
    before = open_descriptors()
    for _ in range(100):
        store.bodies.open(entry.digest, entry.size, 0, entry.size).close()
    assert open_descriptors() <= before


HARMS = [
    ("corrupt", SMALL),
    ("corrupt", MEDIUM),
    *((harm, body) for harm in ("cut_short", "lose") for body in (SMALL, MEDIUM, LARGE)),
]


@pytest.mark.parametrize(("harm", "body"), HARMS)
def test_a_body_that_was_harmed_is_never_served_and_forgotten(
    backend: Backend, open_store: Callable[..., OpenedStore], harm: str, body: bytes
) -> None:
    entry = keep(open_store(), response(), body)
    keep(open_store(), response(OTHER), body)
    getattr(backend, harm)(entry.digest)
    store, other = open_store(), open_store()
    with pytest.raises(BodyGone):
        store.bodies.open(entry.digest, entry.size, 0, 5)
    for one in (store, other):
        assert found(one) == found(one, OTHER) == []
    again = keep(store, response(at=2000.0), body)
    assert stored_bytes(other, again) == body


def test_a_body_that_was_never_stored_is_gone(store: OpenedStore) -> None:
    entry = whole(response(), b"never stored")
    with pytest.raises(BodyGone):
        store.bodies.open(entry.digest, entry.size, 0, entry.size)


def test_a_body_that_is_not_committed_is_not_stored(store: OpenedStore) -> None:
    writer = lead(store)
    grow(writer, response(), LARGE, len(LARGE))
    entry = whole(response(), LARGE)
    assert found(store) == []
    with pytest.raises(BodyGone):
        store.bodies.open(entry.digest, entry.size, 0, entry.size)
    writer.finish(End.BROKEN)
    assert found(store) == []


def test_what_is_there_of_a_killed_writer_is_whole(
    store: OpenedStore, make_process: Callable[..., OtherProcess]
) -> None:
    """Every entry has its body, wherever the kernel stopped the process that was storing."""
    for number in range(5):
        process = make_process()
        process.call("keep_on", URL)
        seen = 0
        while seen < 3 + 7 * number:  # then it is in the midst of the next one
            seen = sum(len(found(store, f"{URL}/{one}")) for one in range(50))
        process.kill()
        for one in range(50):
            for entry in found(store, f"{URL}/{one}"):
                assert whole(entry, stored_bytes(store, entry)) == entry
            keep(store, response(f"{URL}/{one}", at=2000.0), SMALL)


def test_a_store_that_is_gone_says_so(backend: Backend, open_store: Callable[..., OpenedStore]) -> None:
    """Its errors are StoreError, and each flight can be ended."""
    store = open_store()
    entry = keep(store, response(), LARGE)
    running, small, late = lead(store, "running"), lead(store, "small"), lead(store, "late")
    grow(running, response("running"), LARGE, len(LARGE))
    backend.take_away()
    with pytest.raises(StoreError):
        open_store()
    with pytest.raises((BodyGone, StoreError)):
        store.bodies.open(entry.digest, entry.size, 0, entry.size)
    with pytest.raises(StoreError):
        running.store(whole(response("running"), LARGE))
    running.finish(End.UNSTORED)
    with pytest.raises(StoreError):
        small.store_at_once(whole(response("small"), MEDIUM), MEDIUM)
    with pytest.raises(StoreError):
        late.begin(response("late"), None)
    late.finish(End.PASSED)
    assert [one.flight.progress().end for one in (running, small, late)] == [
        End.UNSTORED,
        End.UNSTORED,
        End.PASSED,
    ]


MB = 1 << 20


def test_a_body_larger_than_the_store_is_not_admitted(
    open_store: Callable[..., OpenedStore],
) -> None:
    room = open_store(max_size=16 * MB).room
    assert room.why_not_admitted(MB) is None
    assert room.why_not_admitted(17 * MB) == "size"
    with pytest.raises(NoSpace):
        room.allow(16 * MB, MB)


def test_a_growing_body_is_allowed_what_it_needs(open_store: Callable[..., OpenedStore]) -> None:
    room = open_store(max_size=16 * MB).room
    size = 0
    while size < MB:
        allowed = room.allow(size, 1000)
        assert allowed >= size + 1000
        size = allowed


def test_many_growing_bodies_get_no_more_ahead_of_their_bytes_than_one(
    open_store: Callable[..., OpenedStore],
) -> None:
    """Else as many as like could take the disk past the cache's size before any of it is measured."""
    store = open_store(max_size=256 * MB)
    alone = store.room.allow(0, 1)
    for number in range(40):
        lead(store, f"{URL}/{number}").begin(response(f"{URL}/{number}"), None)
    assert alone > MB
    assert sum(store.room.allow(0, 1) for _ in range(40)) <= alone


def test_what_is_stored_makes_room_for_what_comes(open_store: Callable[..., OpenedStore]) -> None:
    store = open_store(max_size=16 * MB)
    bodies = [bytes([number]) * MB for number in range(40)]
    for number, body in enumerate(bodies):
        assert store.room.why_not_admitted(len(body)) is None
        writer = lead(store, f"{URL}/{number}")
        writer.withheld = 0
        head = response(f"{URL}/{number}", at=1000.0 + number)
        writer.begin(head, len(body))
        assert store.room.allow(0, len(body)) >= len(body)
        writer.file.write(body)
        assert writer.store(whole(head, body)) is not None
    left = [entry for number in range(40) for entry in found(store, f"{URL}/{number}")]
    assert 8 * MB <= sum(entry.size for entry in left) <= 16 * MB
    for entry in left:
        assert replace(whole(entry, stored_bytes(store, entry)), id=entry.id) == entry


def test_make_room_evicts_what_is_stored(open_store: Callable[..., OpenedStore]) -> None:
    store = open_store(max_size=16 * MB)
    for number in range(12):
        keep(store, response(f"{URL}/{number}", at=1000.0 + number), bytes([number]) * MB)
    store.room.make_room(8 * MB)
    left = [entry for number in range(12) for entry in found(store, f"{URL}/{number}")]
    assert 0 < sum(entry.size for entry in left) <= 8 * MB
