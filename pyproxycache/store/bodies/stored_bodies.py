"""Reads stored bodies, and has those forgotten that are missing or damaged."""

from __future__ import annotations

import errno
import logging

from pyproxycache.body import Body
from pyproxycache.errors import StoreError
from pyproxycache.store.bodies.blobs import Blobs, Damaged
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.index.blob_rows import BlobRows
from pyproxycache.store.values import BodyGone

log = logging.getLogger("pyproxycache.store")

OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of a body: this process has no descriptor or memory left to read it."""


class StoredBodies:
    """The whole bodies of a cache folder, by digest and size."""

    def __init__(self, blob_rows: BlobRows, blobs: Blobs, bodies: WholeBodies) -> None:
        self._blob_rows = blob_rows
        self._blobs = blobs
        self._bodies = bodies

    def open(self, digest: str, size: int, start: int, stop: int) -> Body:
        """Read a body's bytes from `start` up to `stop`.

        Raises BodyGone if it cannot be read. All entries that name it are forgotten then, unless it is only
        this process that cannot read it, because it is out of descriptors or memory. Raises StoreError.
        """
        try:
            return self._bodies.read_verified(digest, size, start, stop)
        except Damaged as error:
            log.error("%s; what names it is forgotten and fetched again", error)
            self._forget(digest)
            raise BodyGone(str(error)) from error
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                log.error("a stored body cannot be read: %s", error)
            if error.errno not in OUT_OF_RESOURCES:
                self._forget(digest)
            raise BodyGone(str(error)) from error

    def _forget(self, digest: str) -> None:
        """Remove the entries that name the body; none do if it was evicted."""
        try:
            self._blob_rows.drop_blob(digest, self._blobs)
        except StoreError as error:
            log.warning("what names the body %s cannot be forgotten: %s", digest, error)
