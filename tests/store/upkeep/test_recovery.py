"""A start after the machine went down: what had not reached the disk is not served."""

import os

import pytest
from cachedir import URL, CacheDir

from pyproxycache.store.upkeep.recovery import Recovery

pytestmark = pytest.mark.in_files


def recover(cache: CacheDir, boot: str) -> None:
    space = cache.space()
    Recovery(space, cache.index, cache.blob_rows, cache.blobs, cache.fsck).run(boot)


@pytest.mark.parametrize(
    ("boot", "next_boot", "age", "kept"),
    [
        ("one", "two", 0, False),
        ("one", "one", 0, True),
        ("one", "two", 100_000, True),
        # Where /proc is hidden, each start may be one after a reboot.
        ("", "", 0, False),
        ("", "one", 0, False),
        ("one", "", 0, False),
    ],
    ids=["rebooted", "same-boot", "written-long-ago", "never-told", "not-told-before", "not-told-now"],
)
def test_the_last_bodies_are_read_after_a_reboot(
    cache: CacheDir, boot: str, next_boot: str, age: float, kept: bool
) -> None:
    recover(cache, boot)
    damaged, whole = cache.put(URL, b"body"), cache.put(f"{URL}2", b"whole")
    path = cache.blobs.path(damaged.digest)
    path.write_bytes(bytes(4))  # as a file system leaves it that gives a size before the bytes
    when = path.stat().st_mtime - age
    os.utime(path, (when, when))
    recover(cache, next_boot)
    assert (cache.stored(URL) != []) == kept
    assert cache.body(whole) == b"whole"
    # What is stored may be newer than what the versions tell.
    assert cache.index.is_unknown(f"{URL}3", f"{URL}3") == (boot == next_boot == "one")
