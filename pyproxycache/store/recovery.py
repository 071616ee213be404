"""What a start does before the first request: it mends what an unclean stop may have left."""

from __future__ import annotations

import logging
from pathlib import Path

from pyproxycache.store.blobs import Blobs
from pyproxycache.store.fsck import Fsck
from pyproxycache.store.index import Index
from pyproxycache.store.space import Space

log = logging.getLogger("pyproxycache.store")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# How long a system may keep written bytes before they are on the disk, with room to spare.
_UNSETTLED_SECONDS = 180.0


class Recovery:
    """Removes the leavings of dead writers; after a reboot also checks the last bodies."""

    def __init__(self, space: Space, index: Index, blobs: Blobs, fsck: Fsck) -> None:
        self._space = space
        self._index = index
        self._blobs = blobs
        self._fsck = fsck

    def run(self, boot: str | None = None) -> None:
        """Mend the store; `boot` names this run of the machine (None: ask the kernel)."""
        boot = boot or _BOOT_ID.read_text().strip()
        self._space.recover()
        before = self._index.fact("boot")
        if before != boot:
            if before is not None:
                self._index.distrust_versions()
                self._check_last_written()
            self._index.set_fact("boot", boot)

    def _check_last_written(self) -> None:
        """Read the bodies whose bytes may not have reached the disk when the power went."""
        sizes = self._index.last_used(_UNSETTLED_SECONDS)
        written = {digest: self._blobs.written(digest) for digest in sizes}
        since = max((when for when in written.values() if when), default=0.0) - _UNSETTLED_SECONDS
        unsettled = {
            digest: sizes[digest] for digest, when in written.items() if when is None or when > since
        }
        for finding in self._fsck.check_bodies(unsettled.items()):
            if finding is not None:
                log.warning(
                    "%s: %s; it is fetched again when asked for", finding.digest, finding.problem.value
                )
                self._fsck.fix(finding)
