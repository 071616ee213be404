"""Bit rot: damaged bodies are found and forgotten, in the background and when they are opened."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from cachedir import URL, CacheDir, data, download, entry, whole
from waiting import until

from pyproxycache.options import Share
from pyproxycache.store.bodies.blobs import Damaged
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.upkeep.verifying import Verifier, present_round

SMALL, MIDDLE, LARGE = b"small body", b"middle body " * 2000, b"large body " * 20_000


def verifier(cache: CacheDir, counters: Counter[str]) -> Verifier:
    return Verifier(
        Share(percent=10), cache.index, cache.blob_rows, cache.blobs, cache.fsck, counters.update
    )


def test_a_round_finds_what_is_damaged(cache: CacheDir) -> None:
    stored = [cache.put(f"{URL}/{n}", b"%d " % n + (LARGE if n % 2 else SMALL)) for n in range(20)]
    damaged, missing = stored[3], stored[8]
    cache.rot(damaged)
    cache.lose(missing)
    stamps = {one.key: cache.index.stamp(one.key) for one in stored}
    counters: Counter[str] = Counter()
    sizes, verifying = [], verifier(cache, counters)
    while (size := verifying.verify_next()) is not None:
        sizes.append(size)
    assert sorted(sizes) == sorted(one.size for one in stored)
    assert counters == {"verified.bodies": 20, "verified.damaged": 2, "bytes.verified": sum(sizes)}
    for one in stored:
        is_gone = one in (damaged, missing)
        assert (cache.stored(one.key) == []) == is_gone
        # What memory has of it is outdated, too.
        assert (cache.index.stamp(one.key) != stamps[one.key]) == is_gone
    assert not cache.blobs.path(damaged.digest).exists()
    # And from the beginning.
    left = [one for one in stored if one not in (damaged, missing)]
    assert verifying.verify_next() == min(left, key=lambda one: one.digest).size


@pytest.mark.in_files
def test_a_body_that_may_not_be_read_holds_up_no_other(cache: CacheDir) -> None:
    stored = [cache.put(f"{URL}/{n}", b"%d " % n + SMALL) for n in range(3)]
    first = min(stored, key=lambda one: one.digest)
    cache.blobs.path(first.digest).chmod(0)
    if os.access(cache.blobs.path(first.digest), os.R_OK):
        pytest.skip("this user may read it all the same")
    counters: Counter[str] = Counter()
    verifying = verifier(cache, counters)
    with pytest.raises(PermissionError):
        verifying.verify_next()
    while verifying.verify_next() is not None:
        pass
    assert counters["verified.bodies"] == 2
    assert cache.stored(first.key) != []


def test_how_far_the_round_is(cache: CacheDir) -> None:
    assert present_round(cache.index).share == 0
    cache.index.set_fact("verified", "80" + "0" * 62)
    assert present_round(cache.index).share == 0.5


def test_one_process_verifies_and_goes_on_where_it_was(cache: CacheDir) -> None:
    cache.put(URL, SMALL)
    counters: Counter[str] = Counter()
    first = verifier(cache, counters)
    first.start()
    until(lambda: present_round(cache.index).after == whole(entry(), SMALL).digest)
    first.close()
    assert counters["verified.bodies"] == 1


def test_none_is_read_where_none_is_wanted(cache: CacheDir) -> None:
    cache.put(URL, SMALL)
    Verifier(Share(), cache.index, cache.blob_rows, cache.blobs, cache.fsck, pytest.fail).start()
    assert not (cache.path / "verify.lock").exists()


@pytest.mark.parametrize(
    ("body", "is_seen"), [(SMALL, True), (MIDDLE, True), (LARGE, False)], ids=["small", "middle", "large"]
)
def test_what_a_process_opens_first(cache: CacheDir, body: bytes, is_seen: bool) -> None:
    stored = cache.put(URL, body)
    cache.rot(stored)
    begun = WholeBodies(cache.database, cache.blobs)
    if is_seen:
        with pytest.raises(Damaged, match="other bytes"):
            begun.read_verified(stored.digest, stored.size, 0, stored.size)
    else:
        assert len(data(begun.read_verified(stored.digest, stored.size, 0, stored.size))) == stored.size


def test_a_body_that_comes_again_is_whole(cache: CacheDir) -> None:
    for body in (SMALL, MIDDLE, LARGE):
        stored = cache.put(URL, body)
        cache.rot(stored)
        cache.put(f"{URL}/again", body)
        assert cache.body(stored) == body
        cache.rot(stored)
        again = download(cache.lead(f"{URL}/large"), body, f"{URL}/large")
        assert again is not None
        assert cache.body(again) == body
        names = [path.name for path in cache.blob_files() if path.name.startswith(stored.digest[:8])]
        assert names == ([] if body is SMALL else [stored.digest])
