"""StatedDigests: what documents state is found by every process, and what is stored is held against it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from backends import OpenedStore
from responses import SMALL, URL, found, keep, response

from pyproxycache import clock
from pyproxycache.messages import Part
from pyproxycache.statement import MOST_OF_A_FILE, STATED, Statement
from pyproxycache.store.values import StatedFile, Statements

PLACE, OTHER_PLACE, OWN_PLACE = "http://index.example/", "http://other.example/", "http://origin.example/"
PAGE, OTHER_PAGE = f"{PLACE}simple/a/", f"{OTHER_PLACE}simple/a/"
LARGE = SMALL * 10_000


def stated(algorithm: str = "sha-256", body: bytes = SMALL, key: str = URL) -> StatedFile:
    """What a document states of the file with this body."""
    name = {"sha": "sha1"}.get(algorithm, algorithm.replace("-", ""))
    return StatedFile(key, ((algorithm, hashlib.new(name, body).hexdigest()),))


def state(
    store: OpenedStore, *files: StatedFile, place: str = PLACE, page: str = "page", is_binding: bool = True
) -> int:
    """Have a page of a repository state this."""
    return store.stated.state(f"{place}{page}", place, files, is_binding=is_binding)


def said(file: StatedFile, place: str = PLACE, page: str = "page", *, is_binding: bool = True) -> Statement:
    """What is found of the file then."""
    return Statement(place, file.digests, f"{place}{page}", is_binding)


def test_what_is_stated_is_found(open_store: Callable[..., OpenedStore]) -> None:
    here, there = open_store(), open_store()
    assert here.stated.of(URL) == Statements()
    both = StatedFile(URL, (*stated().digests, *stated("sha-512").digests))
    assert state(here, both) == 1
    assert there.stated.of(URL) == Statements((said(both),))
    assert there.stated.of(f"{URL}/x") == Statements()


def test_it_is_replaced_and_written_only_when_it_changes(store: OpenedStore) -> None:
    assert state(store, stated()) == 1
    assert state(store, stated()) == 0
    new = stated(body=b"new")
    assert state(store, new, is_binding=False) == 1
    assert store.stated.of(URL) == Statements((said(new, is_binding=False),))


def test_repositories_are_kept_apart(store: OpenedStore) -> None:
    new = stated(body=b"new")
    state(store, stated())
    assert state(store, new, place=OTHER_PLACE) == 1
    assert store.stated.of(URL).made == (said(stated()), said(new, OTHER_PLACE))
    assert state(store, stated("md5"), place=OTHER_PLACE) == 1
    assert store.stated.of(URL).made == (said(stated()), said(stated("md5"), OTHER_PLACE))


def test_another_document_of_it_with_a_weaker_digest_does_not_count(store: OpenedStore) -> None:
    state(store, stated("sha"), page="a.sha1")
    assert state(store, stated("md5"), page="a.md5") == 0
    assert state(store, stated("sha-512"), page="a.md5") == 1
    assert state(store, stated("md5"), page="a.md5") == 1  # it is the same one, which says less now


def test_the_statements_of_a_file_are_bounded(store: OpenedStore) -> None:
    places = [f"http://{number:02}.example/" for number in range(MOST_OF_A_FILE + 2)]
    assert [state(store, stated(), place=one) for one in places] == [1] * MOST_OF_A_FILE + [0, 0]
    assert state(store, stated(body=b"new"), place=places[0]) == 1
    assert len(store.stated.of(URL).made) == MOST_OF_A_FILE


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("algorithm", "is_proven"), [("sha-256", True), ("sha-512", True), ("sha", False), ("md5", False)]
)
def test_what_is_stored_and_right_stays(
    store: OpenedStore, body: bytes, algorithm: str, is_proven: bool
) -> None:
    entry = keep(store, response(), body)
    state(store, stated(algorithm, body))
    assert found(store) == [replace(entry, is_proven=is_proven)]


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512", "sha", "md5"])
def test_what_is_stored_and_wrong_is_forgotten(store: OpenedStore, body: bytes, algorithm: str) -> None:
    keep(store, response(), body)
    kept = keep(store, response("http://origin.example/b"), body)
    state(store, stated(algorithm, b"another"))
    assert found(store) == []
    assert found(store, "http://origin.example/b") == [kept]


def test_what_is_only_compared_is_not_forgotten(store: OpenedStore) -> None:
    entry = keep(store, response(), SMALL)
    state(store, stated(body=b"another"), is_binding=False)
    assert found(store) == [entry]


def test_a_coded_body_is_not_the_file(store: OpenedStore) -> None:
    entry = keep(store, response(Content_Encoding="gzip"), SMALL)
    state(store, stated(body=b"another"))
    assert found(store) == [entry]


def test_parts_go_when_the_file_changes(store: OpenedStore) -> None:
    state(store, stated())
    keep(store, replace(response(), part=Part(0, 4, 10)), SMALL[:5])
    state(store, stated())
    assert len(found(store)) == 1
    state(store, stated(body=b"another"))
    assert found(store) == []


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512", "md5"])
@pytest.mark.parametrize(
    ("right", "wrong", "is_kept", "is_proven"),
    [
        ((PLACE,), (OTHER_PLACE,), True, False),
        ((OTHER_PLACE,), (PLACE,), True, False),
        ((OWN_PLACE,), (PLACE, OTHER_PLACE), True, True),
        ((PLACE, OTHER_PLACE), (OWN_PLACE,), False, False),
        ((), (PLACE, OTHER_PLACE), False, False),
    ],
    ids=["one of two", "the other", "its own", "all but its own", "none"],
)
def test_what_is_stored_and_what_several_state(
    store: OpenedStore,
    body: bytes,
    algorithm: str,
    right: tuple[str, ...],
    wrong: tuple[str, ...],
    is_kept: bool,
    is_proven: bool,
) -> None:
    """Whichever is read first, and again: no statement takes away what another one allows."""
    for place in right:
        state(store, stated(algorithm, body), place=place)
    entry = keep(store, response(), body)
    for place in (*wrong, *right):
        file = stated(algorithm, body if place in right else b"another")
        state(store, file, place=place)
    marked = replace(entry, is_proven=is_proven and algorithm != "md5", is_disputed=True)
    assert found(store) == ([marked] if is_kept else [])


def test_it_goes_when_nobody_states_it_any_more(store: OpenedStore) -> None:
    keep(store, response(), SMALL)
    state(store, stated())
    state(store, stated(body=b"another"), place=OTHER_PLACE)
    assert [one.is_disputed for one in found(store)] == [True]
    state(store, stated(body=b"a third"))
    assert found(store) == []


def test_it_is_disputed_no_longer_than_somebody_states_another(store: OpenedStore) -> None:
    entry = keep(store, response(), SMALL)
    state(store, stated())
    state(store, stated(body=b"another"), place=OTHER_PLACE)
    state(store, stated(), place=OTHER_PLACE)
    assert found(store) == [replace(entry, is_proven=True)]


def test_who_disputes_what_is_stored_is_seen_by_memory(store: OpenedStore) -> None:
    keep(store, response(), SMALL)
    stamp = store.index.stamp(URL)
    state(store, stated(body=b"another"), is_binding=False)
    assert store.index.stamp(URL) == stamp
    state(store, stated(), place=OWN_PLACE)
    state(store, stated(body=b"another"))
    assert store.index.stamp(URL) != stamp


def test_what_one_mirror_alone_gives_stays(store: OpenedStore) -> None:
    """It was compared with what that states, whatever others state."""
    entry = keep(store, replace(response(), vary=((STATED, "md5:0"),)), SMALL)
    state(store, stated(body=b"another"))
    assert store.index.variants(URL, 5) == [entry]


def test_parts_of_a_file_stay_when_somebody_else_states_another(store: OpenedStore) -> None:
    state(store, stated())
    keep(store, replace(response(), part=Part(0, 4, 10)), SMALL[:5])
    state(store, stated(body=b"another"), place=OTHER_PLACE)
    state(store, stated(), place=OWN_PLACE)
    state(store, stated(body=b"a third"), place=OTHER_PLACE)
    assert len(found(store)) == 1


def test_mismatches_are_told(open_store: Callable[..., OpenedStore]) -> None:
    here, there = open_store(), open_store()
    here.stated.note_mismatch(URL)
    assert there.stated.of(URL) == Statements(has_failed=True)
    assert not there.stated.of(f"{URL}/x").has_failed


def test_readings_are_told(open_store: Callable[..., OpenedStore]) -> None:
    here, there = open_store(), open_store()
    origin = "http://index.example"
    assert not there.stated.is_being_read(origin)
    here.stated.begin_reading(PAGE)
    assert there.stated.is_being_read(origin)
    assert not there.stated.is_being_read("http://index.exampl")
    here.stated.end_reading(PAGE)
    assert not there.stated.is_being_read(origin)
    assert there.stated.was_read_since(PAGE, 1000.0)
    here.stated.begin_reading(OTHER_PAGE)  # it is being read now, and was not before
    assert there.stated.was_read_since(OTHER_PAGE, 2.0**40)
    assert not there.stated.was_read_since(PAGE, 2.0**40)
    assert not there.stated.was_read_since(f"{PAGE}b", 1000.0)


def test_a_reading_by_a_clock_that_was_set_back(
    store: OpenedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was reading may be gone: nobody waits for that until the clock is there again."""
    with monkeypatch.context() as patched:
        patched.setattr(clock, "wall", lambda: time.time() + 86400.0)
        store.stated.begin_reading(PAGE)
        assert store.stated.of(URL).may_follow
    assert not store.stated.of(URL).may_follow
    assert not store.stated.is_being_read("http://index.example")
    assert not store.stated.was_read_since(PAGE, 1000.0)


def test_many_files_of_one_document(store: OpenedStore) -> None:
    files = [stated(body=b"%d" % number, key=f"{URL}/{number}") for number in range(3000)]
    assert state(store, *files) == 3000
    assert state(store, *files) == 0
    assert store.stated.of(files[-1].key).made == (said(files[-1]),)
