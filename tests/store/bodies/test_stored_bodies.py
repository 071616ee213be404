"""Stored bodies that cannot be read: which are forgotten, and which only this process cannot read now."""

from __future__ import annotations

import errno
import os

import pytest
from cachedir import URL, CacheDir, data

from pyproxycache.body import Body
from pyproxycache.store.bodies.stored_bodies import StoredBodies
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.values import BodyGone


class Failing(WholeBodies):
    """Reads nothing, by this error."""

    def __init__(self, cache: CacheDir, number: int) -> None:
        super().__init__(cache.database, cache.blobs)
        self._error = OSError(number, os.strerror(number))

    def read_verified(self, digest: str, size: int, start: int, stop: int) -> Body:
        raise self._error


def stored_bodies(cache: CacheDir, bodies: WholeBodies) -> StoredBodies:
    return StoredBodies(cache.blob_rows, cache.blobs, bodies)


def test_a_body_is_read_from_and_up_to_where_it_is_asked_for(cache: CacheDir) -> None:
    stored = cache.put(URL, b"0123456789")
    body = stored_bodies(cache, cache.bodies).open(stored.digest, stored.size, 3, 6)
    assert data(iter(body)) == b"345"


@pytest.mark.parametrize(
    ("number", "is_kept"),
    [
        (errno.EMFILE, True),
        (errno.ENFILE, True),
        (errno.ENOMEM, True),
        (errno.EIO, False),
        (errno.EACCES, False),
        (errno.ENOENT, False),
    ],
    ids=["EMFILE", "ENFILE", "ENOMEM", "EIO", "EACCES", "ENOENT"],
)
def test_what_only_this_process_cannot_read_is_kept(cache: CacheDir, number: int, is_kept: bool) -> None:
    stored = cache.put(URL, b"body")
    with pytest.raises(BodyGone):
        stored_bodies(cache, Failing(cache, number)).open(stored.digest, stored.size, 0, stored.size)
    assert (cache.stored() == [stored]) is is_kept
