"""What a request does when the store fails it: log the error and go on without the store."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from pyproxycache.errors import StoreError
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.store")


@contextlib.contextmanager
def logging_store_errors(what: str, key: str) -> Iterator[None]:
    """Log a StoreError of the block as "cannot `what` `key`" and go on: a full disk costs no request."""
    try:
        yield
    except StoreError as error:
        log.warning("cannot %s %s: %s", what, without_query(key), error)
