"""One variant among many: found exactly, by index, and under other queries' keys."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest
from cachedir import URL, CacheDir, asking, entry

from pyproxycache.messages import Entry, Part
from pyproxycache.store.values import VaryValues

SEARCHED = f"{URL}?n="


def variant(*vary: tuple[str, str | None], key: str = URL, at: float = 1000.0) -> Entry:
    return replace(entry(key, at=at), vary=vary)


def etags(found: list[Entry]) -> list[str]:
    return [one.headers.get("etag") or "" for one in found]


VARIANTS = {
    '"plain"': (),
    '"gzip"': (("accept-encoding", "gzip"),),
    '"none"': (("accept-encoding", None),),
    '"empty"': (("accept-encoding", ""),),
    '"gzip de"': (("accept-encoding", "gzip"), ("accept-language", "de")),
    '"null"': (("accept-encoding", "null"),),
}


@pytest.mark.parametrize("others", [0, 30], ids=["few", "many"])
@pytest.mark.parametrize(
    ("request_fields", "fitting"),
    [
        (asking(), ['"plain"', '"none"']),
        (asking(accept_encoding=""), ['"plain"', '"empty"']),
        (asking(accept_encoding="gzip"), ['"plain"', '"gzip"']),
        (asking(accept_encoding="gzip", accept_language="de"), ['"plain"', '"gzip"', '"gzip de"']),
        (asking(accept_encoding="null"), ['"plain"', '"null"']),
        (asking(accept_encoding="br", accept_language="de"), ['"plain"']),
    ],
)
def test_what_fits_is_found(
    cache: CacheDir, request_fields: VaryValues, fitting: list[str], others: int
) -> None:
    cache.insert(replace(entry(etag=etag), vary=vary) for etag, vary in VARIANTS.items())
    cache.insert(variant(("accept-encoding", f"x-{number}")) for number in range(others))
    cache.insert([variant(key=f"{URL}/other")])
    assert sorted(etags(cache.index.lookup(URL, request_fields))) == sorted(fitting)
    assert cache.index.lookup(f"{URL}/none", request_fields) == []


NAMES = ["accept encoding", "(content)", "", "'\"\\", "\x7f\xe9\u6c17", "[]"]


@pytest.mark.parametrize("others", [0, 30], ids=["few", "many"])
@pytest.mark.parametrize("name", NAMES)
def test_any_name_and_value_come_back(cache: CacheDir, name: str, others: int) -> None:
    cache.insert(variant(("accept", str(number))) for number in range(others))
    cache.insert([variant((name, name), ("cookie", None)), variant((name, "other"), ("cookie", None))])
    vary = ((name, name), ("cookie", None))
    (found,) = cache.index.lookup(URL, lambda names: tuple((one, dict(vary).get(one)) for one in names))
    assert found.vary == vary
    assert cache.index.usage().entries == others + 2


def test_the_newest_whole_ones_whatever_they_vary_on(cache: CacheDir) -> None:
    times = [3.0, 9.0, 1.0, 7.0]
    cache.insert(variant(("accept", str(at)), at=at) for at in times)
    cache.insert([replace(variant(("accept", "x"), at=10.0), part=Part(0, 5, 10))])
    assert [one.response_time for one in cache.index.variants(URL, 3)] == [9.0, 7.0, 3.0]
    assert len(cache.index.variants(URL, 100)) == 4


@pytest.mark.parametrize("others", [1, 30], ids=["few", "many"])
def test_other_queries_are_found_by_search(cache: CacheDir, others: int) -> None:
    def searched(number: int, **fields: str) -> Entry:
        vary = tuple(fields.items())
        return replace(entry(f"{SEARCHED}{number}", at=float(number)), search=URL, vary=vary)

    cache.insert(searched(number) for number in range(others))
    cache.insert([searched(100, accept="a"), searched(101, accept="b"), entry(f"{SEARCHED}200")])
    found = cache.index.search(URL, f"{SEARCHED}0", asking(accept="a"))
    numbers = [100, *range(others - 1, 0, -1)]
    assert [one.key for one in found] == [f"{SEARCHED}{number}" for number in numbers]
    assert [one.search for one in found] == [URL] * len(numbers)
    assert len(cache.index.lookup(f"{SEARCHED}0", asking(accept="a"))) == 1
    assert cache.index.search(f"{URL}/other", f"{SEARCHED}x", asking()) == []


def test_a_search_finds_a_bounded_number(cache: CacheDir) -> None:
    cache.insert(replace(entry(f"{SEARCHED}{at}", at=float(at)), search=URL) for at in range(500))
    found = cache.index.search(URL, URL, asking())
    assert [one.response_time for one in found] == [float(at) for at in range(499, 467, -1)]


def test_a_validated_body_is_filed_under_another_variant(cache: CacheDir) -> None:
    stored = cache.keep(variant(("accept", "a")), b"body")
    again = replace(stored, id=0, vary=(("accept", "b"),), response_time=2000.0, search=URL)
    assert cache.index.freshen(again)
    (found,) = cache.index.lookup(URL, asking(accept="b"))
    assert found == replace(again, id=found.id)
    assert cache.index.lookup(URL, asking(accept="a")) == [stored]
    assert cache.index.usage().blobs == 1


@pytest.mark.parametrize("gone", ["purged", "replaced"])
def test_a_body_that_the_key_no_longer_has_is_not_filed_again(cache: CacheDir, gone: str) -> None:
    stored = cache.keep(variant(("accept", "a")), b"body")
    cache.put(f"{URL}/same", b"body")
    if gone == "purged":
        cache.index.purge([URL])
    else:
        cache.keep(variant(("accept", "a")), b"another")
    assert not cache.index.freshen(replace(stored, id=0, vary=(("accept", "b"),)))
    assert cache.index.lookup(URL, asking(accept="b")) == []


def test_an_entry_is_forgotten_unless_it_was_replaced(cache: CacheDir) -> None:
    old, new = cache.put(URL, b"old"), cache.put(URL, b"new")
    cache.index.forget(old)
    assert cache.stored(URL) == [new]
    cache.index.forget(new)
    assert cache.stored(URL) == []


def seconds(look_up: Callable[[], list[Entry]], found: int) -> float:
    """What a look-up takes, other processes' share of it left out as far as possible."""
    fastest = float("inf")
    for _ in range(50):
        begin = time.thread_time()
        for _ in range(20):
            assert len(look_up()) == found
        fastest = min(fastest, time.thread_time() - begin)
    return fastest / 20


def test_a_thousand_variants_cost_no_more_than_a_few(cache: CacheDir) -> None:
    many, one = f"{URL}/many", f"{URL}/one"
    cache.insert(variant(("accept", str(number)), key=many) for number in range(1000))
    cache.insert([variant(("accept", "500"), key=one)])
    asked = asking(accept="500")
    crowded = seconds(lambda: cache.index.lookup(many, asked), 1)
    assert crowded < 10 * seconds(lambda: cache.index.lookup(one, asked), 1)


def test_the_newest_of_thousands_cost_no_more_than_those_of_a_few(cache: CacheDir) -> None:
    for key, count in ((URL, 3000), (f"{URL}/few", 8)):
        cache.insert(variant(("accept", str(number)), key=key, at=float(number)) for number in range(count))
        # Parts do not stand in the way.
        parts = (Part(10 * number, 10 * number + 1, None) for number in range(60))
        cache.insert(replace(variant(key=key, at=5000.0), part=part) for part in parts)
    crowded = seconds(lambda: cache.index.variants(URL, 8), 8)
    assert crowded < 4 * seconds(lambda: cache.index.variants(f"{URL}/few", 8), 8)


def test_of_a_crowded_key_the_least_recently_used_go(cache: CacheDir) -> None:
    other = cache.put(f"{URL}/other", b"body")
    for numbers in (range(5000), range(5000, 10_300)):
        cache.insert(
            replace(
                variant(("accept", f"{number}"), at=1000.0 + number),
                part=Part(0, 9, None) if number % 2 else None,
            )
            for number in numbers
        )
        cache.index.touch({access.entry.id: (1e6, 1) for access in islice(cache.listing.walk(URL), 50)}, {})
    left = {int(access.entry.vary[0][1] or "") for access in cache.listing.walk(URL)}
    # It is looked at with every 64th row.
    assert 10_000 <= len(left) < 10_064
    assert left == {*range(50), *range(10_300 - len(left) + 50, 10_300)}
    assert cache.stored(f"{URL}/other") == [other]
