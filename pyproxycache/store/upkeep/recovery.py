"""What a start does before the first request: it mends what an unclean stop may have left."""

from __future__ import annotations

import logging

from pyproxycache import clock
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.index.blob_rows import BlobRows
from pyproxycache.store.index.index import Index
from pyproxycache.store.upkeep.clock_changes import boot_id
from pyproxycache.store.upkeep.fsck import Fsck
from pyproxycache.store.upkeep.space import Space

log = logging.getLogger("pyproxycache.store")

# How long a system may keep written bytes before they are on the disk, with room to spare.
_UNSETTLED_SECONDS = 180.0


class Recovery:
    """Removes the files that dead writers left; after a reboot also checks the last bodies."""

    def __init__(self, space: Space, index: Index, blob_rows: BlobRows, blobs: Blobs, fsck: Fsck) -> None:
        self._space = space
        self._index = index
        self._blob_rows = blob_rows
        self._blobs = blobs
        self._fsck = fsck

    def run(self, boot: str | None = None) -> None:
        """Mend the store; `boot` names this run of the machine (None: ask the kernel).

        If that is unknown (""), each start is taken for the first one after a power failure.
        """
        boot = boot_id() if boot is None else boot
        self._space.recover()
        before = self._index.fact("boot")
        if before != boot or not boot:
            if before is not None:
                self._index.distrust_versions()
                self._check_last_written(clock.wall())
            self._index.set_fact("boot", boot)

    def _check_last_written(self, now: float) -> None:
        """Check the bodies whose bytes may not have reached the disk before a power failure."""
        sizes = self._blob_rows.last_used(_UNSETTLED_SECONDS, now)
        written = {digest: self._blobs.written(digest) for digest in sizes}
        # What a wrong clock has dated later than now says nothing of when the others were written.
        past = (when for when in written.values() if when is not None and when <= now)
        since = max(past, default=0.0) - _UNSETTLED_SECONDS
        unsettled = {
            digest: sizes[digest] for digest, when in written.items() if when is None or when > since
        }
        for finding in self._fsck.check_bodies(unsettled.items()):
            if finding is not None:
                log.warning(
                    "%s: %s; it is fetched again when asked for", finding.digest, finding.problem.value
                )
                self._fsck.fix(finding)
