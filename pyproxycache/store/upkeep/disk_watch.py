"""Whether the disk has the room that the cache leaves free: the master looks, and says it if it has not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from pyproxycache.options import Share
from pyproxycache.store.files.footprint import Disk
from pyproxycache.units import format_size

log = logging.getLogger("pyproxycache.store")

_PATIENCE = 10.0  # seconds, in which the workers may make room


class DiskWatch:
    """Logs that the disk of the folder has been below the reserve for ten seconds, and when that ends.

    Belongs to the master's main thread.
    """

    def __init__(self, folder: Path, reserve: Share, measure: Callable[[Path], Disk] = Disk.of) -> None:
        self._folder = folder
        self._reserve = reserve
        self._measure = measure
        self._short_since: float | None = None
        self._is_said = False

    def look(self, now: float) -> None:
        """Measure the disk; `now` in steady seconds."""
        try:
            disk = self._measure(self._folder)
        except OSError:
            return  # the folder is gone: the watch of the store sees to that
        if not (disk.missing(self._reserve) >= 0 or disk.missing_files(self._reserve) > 0):
            if self._is_said:
                log.info("the disk of %s has room again: responses are stored", self._folder)
            self._short_since, self._is_said = None, False
        elif self._short_since is None:
            self._short_since = now
        elif not self._is_said and now - self._short_since >= _PATIENCE:
            self._is_said = True
            log.warning(
                "nothing more is stored: the disk of %s has %s, and the cache leaves %s free"
                " (store.reserve); make room, or set a smaller reserve",
                self._folder,
                *self._figures(disk),
            )

    def _figures(self, disk: Disk) -> tuple[str, str]:
        missing = disk.missing_files(self._reserve)
        if missing > 0:
            return f"{disk.free_files} free files (inodes)", f"{disk.free_files + missing} of them"
        return f"{format_size(disk.free)} free", format_size(self._reserve.of(disk.size))
