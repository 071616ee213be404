"""Purges by hand, as the command `purge` and the admin listener take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pyproxycache.configuration.config import Config
from pyproxycache.errors import BadRequest
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.urls import parse_url
from pyproxycache.rules.userinfo import split_userinfo
from pyproxycache.url import Url
from pyproxycache.wiring.packages.indexes import build_indexes
from pyproxycache.wiring.stored import OpenStore

_SCHEMES = ("http://", "https://")


class Purging:
    """Purges what is stored, also on a full disk; each raises StoreError, and tells how much it was.

    What is no URL, or no beginning of one, is a BadRequest: it would purge nothing, or all.
    """

    def __init__(self, config: Config, store: OpenStore) -> None:
        self._store = store
        self._realm = Realm(config.policies())
        self._indexes = build_indexes(config, store)

    def urls(self, urls: Sequence[str]) -> int:
        """Purge URLs, with what belongs together with each."""
        named = [self._realm.resource(_url(url)) for url in urls]
        keys = list(dict.fromkeys(one.key for each in named for one in self._indexes.belonging(each)))
        return self._forget(partial(self._store.index.purge, keys))

    def prefixes(self, prefixes: Sequence[str]) -> int:
        """Purge all URLs that begin with one of these."""
        for prefix in prefixes:
            if not prefix.startswith(_SCHEMES):
                raise BadRequest(f"prefix {prefix!r}: it has to start with http:// or https://")
        purge = self._store.index.purge_matching
        return self._forget(lambda: sum(purge(prefix=prefix) for prefix in prefixes))

    def patterns(self, patterns: Sequence[str]) -> int:
        """Purge all URLs that match one of these globs."""
        purge = self._store.index.purge_matching
        return self._forget(lambda: sum(purge(pattern=pattern) for pattern in patterns))

    def group(self, name: str, origin: str | None) -> int:
        """Purge a cache group, of the origin of this URL or of all origins."""
        of = None if origin is None else _url(origin).origin
        return self._forget(partial(self._store.index.purge_group, name, of))

    def everything(self) -> int:
        """Purge all there is."""
        unlink = partial(self._store.removals.unlink_all, self._store.blobs)
        return self._forget(self._store.index.purge_matching, unlink)

    def _forget(self, purge: Callable[[], int], unlink: Callable[[], None] | None = None) -> int:
        full_disk = self._store.full_disk
        count = full_disk.forget(purge, unlink)
        full_disk.forget(partial(self._store.removals.drop_unnamed, self._store.blobs))
        return count


def _url(text: str) -> Url:
    return parse_url(split_userinfo(text)[0])
