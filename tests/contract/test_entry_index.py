"""EntryIndex: what is stored is found by every process until it is forgotten, and by none afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from backends import OpenedStore
from other_process import OtherProcess
from responses import SMALL, URL, asking, found, keep, lead, response, stored_bytes, varying, whole

from pyproxycache.messages import Entry, Part
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports import LeadFlight, NotStorable
from pyproxycache.store.values import End, Usage

OTHER = "http://origin.example/b"


def test_what_is_stored_is_found_as_it_was(store: OpenedStore) -> None:
    head = replace(
        response(Cache_Control="max-age=60", Link="<a>; rel=next"),
        ttl=60.0,
        peer="192.0.2.1",
        groups=("a", "b"),
        search="http://origin.example/a",
        vary=(("accept", "text/html"), ("cookie", None)),
    )
    stored = keep(store, head, SMALL)
    assert found(store, accept="text/html") == [stored]
    assert found(store, accept="text/plain") == []
    assert found(store, OTHER) == []


def test_each_variant_is_found_by_its_own_values(store: OpenedStore) -> None:
    languages = [f"l{number}" for number in range(100)]
    stored = {language: keep(store, varying(language), language.encode()) for language in languages}
    for language in languages:
        (entry,) = found(store, accept_language=language)
        assert entry == stored[language]
        assert stored_bytes(store, entry) == language.encode()


def test_a_newer_response_replaces_that_of_its_variant(store: OpenedStore) -> None:
    kept = keep(store, varying("de"), b"other")
    keep(store, varying("en"), b"old")
    new = keep(store, varying("en", at=2000.0), b"new")
    assert found(store, accept_language="en") == [new]
    assert found(store, accept_language="de") == [kept]


def test_parts_are_found_until_the_whole_is_there(store: OpenedStore) -> None:
    halves = [
        keep(
            store, replace(response(at=1000.0 + start), part=Part(start, start + 4, 10)), SMALL[start:][:5]
        )
        for start in (0, 5)
    ]
    assert sorted(found(store), key=lambda entry: entry.first_byte) == halves
    entry = keep(store, response(at=2000.0), SMALL)
    assert found(store) == [entry]


def test_variants_are_the_newest_first(store: OpenedStore) -> None:
    stored = [keep(store, varying(f"l{at}", at=at), b"body") for at in (3.0, 1.0, 5.0, 2.0, 4.0)]
    newest = sorted(stored, key=lambda entry: -entry.response_time)
    assert store.index.variants(URL, 10) == newest
    assert store.index.variants(URL, 2) == newest[:2]
    assert store.index.variants(OTHER, 2) == []


def test_search_finds_other_keys_by_theirs_without_the_query(store: OpenedStore) -> None:
    keys = [f"{URL}?{number}" for number in range(40)]
    stored = [
        keep(store, replace(response(key, at=1000.0 + at), search=URL), SMALL)
        for at, key in enumerate(keys)
    ]
    got = store.index.search(URL, keys[-1], asking())
    assert 16 <= len(got) <= 32
    assert got == stored[-2 : -2 - len(got) : -1]
    assert store.index.search(OTHER, "", asking()) == []


def test_freshen_gives_another_head_and_times(store: OpenedStore) -> None:
    stored = keep(store, response(), SMALL)
    fresh = replace(
        stored, head=response(Cache_Control="max-age=9").head, request_time=2000.0, response_time=2001.0
    )
    assert store.index.freshen(fresh)
    assert found(store) == [fresh]
    assert stored_bytes(store, fresh) == SMALL


def test_freshen_does_not_bring_back_what_was_removed(store: OpenedStore) -> None:
    stored = keep(store, response(), SMALL)
    other = replace(stored, id=0, vary=(("accept", "text/html"),))
    store.index.purge([URL])
    assert not store.index.freshen(stored)
    assert not store.index.freshen(other)
    assert found(store, accept="text/html") == []


def test_freshen_stores_a_further_variant_of_a_body_that_is_there(store: OpenedStore) -> None:
    keep(store, varying("en"), SMALL)
    variant = whole(varying("de"), SMALL)
    assert store.index.freshen(variant)
    (entry,) = found(store, accept_language="de")
    assert stored_bytes(store, entry) == SMALL


def test_forget_spares_another_body(store: OpenedStore) -> None:
    old = keep(store, response(), b"old")
    new = keep(store, response(at=2000.0), b"new")
    store.index.forget(old)
    assert found(store) == [new]
    store.index.forget(new)
    assert found(store) == []


def test_shorten_changes_the_time_to_live_alone(store: OpenedStore) -> None:
    stored = keep(store, replace(response(), ttl=60.0), SMALL)
    store.index.shorten(stored, 5.0)
    assert found(store) == [replace(stored, ttl=5.0)]


def by_key(store: OpenedStore) -> int:
    return store.index.purge([URL])


def by_prefix(store: OpenedStore) -> int:
    return store.index.purge_matching(prefix=URL)


def by_pattern(store: OpenedStore) -> int:
    return store.index.purge_matching(pattern="*/a")


def by_group(store: OpenedStore) -> int:
    return store.index.purge_group("group", "http://origin.example")


PURGES = [by_key, by_prefix, by_pattern, by_group]


@pytest.mark.parametrize("purge", PURGES)
def test_what_is_purged_is_found_by_nobody(
    store: OpenedStore,
    open_store: Callable[..., OpenedStore],
    make_process: Callable[..., OtherProcess],
    purge: Callable[[OpenedStore], int],
) -> None:
    other, process = open_store(), make_process()
    keep(store, replace(response(), groups=("group",)), b"first")
    keep(store, replace(varying("en"), groups=("group",)), b"second")
    spared = keep(store, replace(response(OTHER), groups=("another",)), b"third")
    assert len(found(other, accept_language="en")) == 2
    assert len(process.call("found", URL)) == 2
    assert purge(store) == 2
    assert found(other, accept_language="en") == []
    assert process.call("found", URL) == []
    assert found(other, OTHER) == [spared]
    assert process.call("found", OTHER) == [spared.digest]


@pytest.mark.parametrize("purge", PURGES[:3])
def test_a_purge_ends_that_a_key_is_not_storable(
    store: OpenedStore, purge: Callable[[OpenedStore], int]
) -> None:
    lead(store).finish(End.PASSED, not_storable_until=1e12)
    assert isinstance(store.flights.join(FlightKey(URL)), NotStorable)
    purge(store)
    assert isinstance(store.flights.join(FlightKey(URL)), LeadFlight)


def test_groups_are_those_of_one_origin(store: OpenedStore) -> None:
    key = "http://origin.example:8080/a"
    stored = keep(store, replace(response(key), groups=("group",)), SMALL)
    assert store.index.purge_group("group", "http://origin.example") == 0
    assert found(store, key) == [stored]
    assert store.index.purge_group("group", None) == 1
    assert found(store, key) == []


def test_what_another_process_stores_or_purges_is_seen_at_once(
    store: OpenedStore, make_process: Callable[..., OtherProcess]
) -> None:
    process = make_process()
    for number in range(20):
        digest = process.call("keep", URL, str(number))
        assert [entry.digest for entry in found(store)] == [digest]
        process.call("purge", URL)
        assert found(store) == []


def freshen(store: OpenedStore, entry: Entry) -> None:
    assert store.index.freshen(replace(entry, response_time=3000.0))


CHANGES: dict[str, Callable[[OpenedStore, Entry], object]] = {
    "replace": lambda store, _entry: keep(store, response(at=2000.0), b"new"),
    "add a variant": lambda store, _entry: keep(store, varying("en"), b"new"),
    "freshen": freshen,
    "shorten": lambda store, entry: store.index.shorten(entry, 1.0),
    "forget": lambda store, entry: store.index.forget(entry),
    **{purge.__name__: lambda store, _entry, purge=purge: purge(store) for purge in PURGES},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stamp_lasts_until_something_changes(
    store: OpenedStore, open_store: Callable[..., OpenedStore], change: str
) -> None:
    other = open_store()
    stored = keep(store, replace(response(), groups=("group",)), SMALL)
    keep(store, response(OTHER), SMALL)
    stamp = other.index.stamp(URL)
    assert stamp is not None
    found(store)
    assert other.index.stamp(URL) == stamp
    assert other.index.versions[stamp.slot] == stamp.version
    CHANGES[change](store, stored)
    assert other.index.stamp(URL) != stamp
    assert other.index.versions[stamp.slot] != stamp.version


def test_only_a_key_that_was_never_stored_is_unknown(
    store: OpenedStore, open_store: Callable[..., OpenedStore]
) -> None:
    other = open_store()
    assert other.index.is_unknown(URL, URL)
    keep(store, replace(response(f"{URL}?query"), search=URL), SMALL)
    assert not other.index.is_unknown(f"{URL}?query", URL)
    assert not other.index.is_unknown(f"{URL}?another", URL)
    assert other.index.is_unknown(OTHER, OTHER)


def test_usage_counts_a_body_once(store: OpenedStore, open_store: Callable[[], OpenedStore]) -> None:
    assert store.index.usage() == Usage(0, 0, 0)
    for language in ("de", "en"):
        keep(store, varying(language), SMALL)
    keep(store, varying("fr"), b"another")
    assert open_store().index.usage() == Usage(len(SMALL) + len(b"another"), 2, 3)


def test_a_new_store_has_counted_nothing(store: OpenedStore) -> None:
    assert store.index.counters() == {}


def test_a_store_has_one_name_for_all(store: OpenedStore, open_store: Callable[[], OpenedStore]) -> None:
    name = store.index.instance()
    assert name
    assert (store.index.instance(), open_store().index.instance()) == (name, name)
