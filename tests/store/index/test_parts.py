"""Parts of a representation beside one another and beside the whole: which stay, and what they cost."""

from dataclasses import replace

import pytest
from cachedir import URL, CacheDir, asking, entry

from pyproxycache.messages import Entry, Part
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight_rows import Won

pytestmark = pytest.mark.in_files

TOTAL = 1000


def part(start: int, end: int, *, key: str = URL, total: int | None = TOTAL, kind: str = "") -> Entry:
    vary = (("accept", kind),) if kind else ()
    return replace(entry(key), part=Part(start, end, total), vary=vary)


def body(start: int, end: int) -> bytes:
    return bytes(number % 251 for number in range(start, end + 1))


def put(cache: CacheDir, start: int, end: int, **options: str) -> Entry:
    return cache.keep(part(start, end, **options), body(start, end))


def parts(cache: CacheDir, key: str = URL, kind: str = "") -> list[tuple[int, int]]:
    found = cache.index.lookup(key, asking(accept=kind))
    return [(one.part.start, one.part.end) for one in found if one.part is not None]


@pytest.mark.parametrize("total", [TOTAL, None])
def test_a_part_is_found_as_it_was(cache: CacheDir, total: int | None) -> None:
    stored = cache.keep(part(10, 19, total=total), body(10, 19))
    assert stored.part == Part(10, 19, total)
    assert cache.index.lookup(URL, asking()) == [stored]
    assert cache.body(stored) == body(10, 19)
    assert cache.index.variants(URL, 10) == []


@pytest.mark.parametrize(
    ("stored", "new", "left"),
    [
        ([], (0, 9), [(0, 9)]),
        ([(0, 9)], (20, 29), [(0, 9), (20, 29)]),
        ([(0, 9)], (10, 19), [(0, 9), (10, 19)]),
        ([(0, 9)], (5, 15), [(0, 9), (5, 15)]),
        ([(0, 9), (20, 29)], (0, 29), [(0, 29)]),
        ([(0, 9), (20, 29), (40, 49)], (5, 45), [(0, 9), (5, 45), (40, 49)]),
        ([(0, 9)], (0, 19), [(0, 19)]),
        ([(10, 19)], (0, 19), [(0, 19)]),
        ([(0, 9)], (0, 9), [(0, 9)]),
        # The rules choose: the longer one may be of a representation that is gone.
        ([(0, 29)], (10, 19), [(0, 29), (10, 19)]),
        ([(0, 29)], (0, 9), [(0, 9), (0, 29)]),
    ],
)
def test_a_part_takes_the_place_of_those_within_it(
    cache: CacheDir, stored: list[tuple[int, int]], new: tuple[int, int], left: list[tuple[int, int]]
) -> None:
    for start, end in (*stored, new):
        put(cache, start, end)
    assert parts(cache) == left
    bodies = [cache.body(one) for one in cache.index.lookup(URL, asking())]
    assert bodies == [body(*bounds) for bounds in left]


def test_the_same_part_keeps_its_row(cache: CacheDir) -> None:
    first, second = put(cache, 0, 9), cache.keep(part(0, 9), b"0123456789")
    assert first.id == second.id
    assert cache.index.lookup(URL, asking()) == [second]


def test_a_whole_response_takes_the_place_of_all_parts(cache: CacheDir) -> None:
    for kind in ("a", "b"):
        put(cache, 0, 9, kind=kind)
        put(cache, 20, 29, kind=kind)
    put(cache, 0, 9, key=f"{URL}/other")
    whole = cache.keep(replace(entry(), vary=(("accept", "a"),)), b"whole")
    assert cache.index.lookup(URL, asking(accept="a")) == [whole]
    assert parts(cache, kind="b") == [(0, 9), (20, 29)]
    assert parts(cache, f"{URL}/other") == [(0, 9)]


def test_a_part_leaves_the_whole_response(cache: CacheDir) -> None:
    whole = cache.put(URL, b"whole")
    new = put(cache, 0, 9)
    assert cache.index.lookup(URL, asking()) == [whole, new]
    assert cache.index.variants(URL, 10) == [whole]


def test_of_many_parts_the_least_recently_used_go(cache: CacheDir) -> None:
    whole = cache.put(URL, b"whole")
    stored = [put(cache, 10 * number, 10 * number + 1) for number in range(64)]
    put(cache, 0, 1, kind="another variant")
    unused = [0, 30]
    used = {one.id: (5e9, 1) for number, one in enumerate(stored) if number not in unused}
    cache.index.touch({**used, whole.id: (1.0, 1)}, {})
    put(cache, 800, 801)
    assert parts(cache) == [(10 * number, 10 * number + 1) for number in (*range(1, 64), 80)]
    put(cache, 810, 811)
    assert (300, 301) not in parts(cache)
    assert len(parts(cache)) == 64
    assert cache.stored(URL) == [whole]
    assert (0, 1) in parts(cache, kind="another variant")


def test_parts_are_counted_checked_and_collected_as_whole_ones_are(cache: CacheDir) -> None:
    for start in range(0, 100, 10):
        put(cache, start, start + 9)
    cache.keep(part(0, 9, key=f"{URL}/same"), body(0, 9))
    put(cache, 0, 29)
    cache.removals.drop_unnamed(cache.blobs)
    # The first ten bytes are named by the other key; those of the second and third part are gone.
    usage = cache.index.usage()
    assert (usage.entries, usage.blobs, usage.bytes) == (9, 9, 7 * 10 + 10 + 30)
    assert sum(file.stat().st_size for file in cache.blob_files()) == usage.bytes
    assert [finding for finding in cache.fsck.check() if finding is not None] == []
    assert cache.space(max_size=6 * 4096).collect() is not None
    assert cache.index.usage().blobs == 5
    assert cache.index.purge([URL, f"{URL}/same"]) > 0
    cache.space().recover()
    assert cache.blob_files() == []
    assert cache.index.used_bytes() == 0


def test_a_damaged_part_is_found_and_forgotten(cache: CacheDir) -> None:
    stored, other = put(cache, 0, 9), put(cache, 20, 29)
    cache.blobs.path(stored.digest).write_bytes(b"9876543210")
    (finding,) = (found for found in cache.fsck.check() if found is not None)
    cache.fsck.fix(finding)
    assert cache.index.lookup(URL, asking()) == [other]


def test_a_dead_leaders_part_is_gone_on_with(cache: CacheDir) -> None:
    head = replace(part(10, 19), groups=("a", "b"), search="http://origin.example/", ttl=5.0)
    first = cache.claims.claim(FlightKey(URL), "first", 1000.0)
    assert isinstance(first, Won)
    claim, file = cache.open_file(first, head)
    file.write(b"01234")
    file.release()
    cache.claims.leave(claim)
    second = cache.claims.claim(FlightKey(URL), "second", 1000.0)
    assert isinstance(second, Won)
    assert second.file is not None
    assert (second.claim.entry, second.file.size) == (head, 5)
