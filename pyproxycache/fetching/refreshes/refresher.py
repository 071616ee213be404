"""Validates in the background what was served stale (RFC 5861 section 3)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pyproxycache.errors import ProxyError
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.refresh")

_THREADS = 4
_LONGEST_QUEUE = 1000


class Refresher:
    """Runs refreshes on threads of its own, one of a key at a time.

    `_pending` (keys) is guarded by `_lock`. Made after fork.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: set[str] = set()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="refresh")

    def start(self, key: str, refresh: Callable[[], object]) -> None:
        """Have `refresh` run soon, unless one for the key waits already or too many do."""
        with self._lock:
            if key in self._pending or len(self._pending) >= _LONGEST_QUEUE:
                return
            self._pending.add(key)
        try:
            self._pool.submit(self._run, key, refresh)
        except RuntimeError:  # shutting down, or no more threads
            self._done(key)

    def _run(self, key: str, refresh: Callable[[], object]) -> None:
        try:
            refresh()
        except ProxyError as error:
            log.info("%s stays stale: %s", without_query(key), error)
        except Exception:
            log.exception("refreshing %s failed inside the cache", without_query(key))
        finally:
            self._done(key)

    def _done(self, key: str) -> None:
        with self._lock:
            self._pending.discard(key)

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
