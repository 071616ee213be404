"""The port of the stored responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pyproxycache.messages import Entry
from pyproxycache.store.values import Stamp, Usage, Uses, VaryValues


class EntryIndex(Protocol):
    """The stored responses by cache key: heads, times, and which body each has.

    Every look-up sees all that was committed before it began, by any process. Reading writes nothing. Each
    method raises StoreError.
    """

    @property
    def versions(self) -> memoryview:
        """A counter for each slot, shared with all processes and changed with every commit.

        What was made from a look-up holds as long as `versions[stamp.slot] == stamp.version`: one
        comparison, without a call or a lock. Several keys may share a slot; a change of one then counts for
        all.
        """

    def stamp(self, key: str) -> Stamp | None:
        """The key's version now; None while a commit that concerns it is under way.

        Taken before the look-up whose result is to be kept: a later change is then always noticed.
        """

    def is_unknown(self, key: str, search: str) -> bool:
        """Whether nothing was ever stored under the key, nor found by `search`: then no look-up is needed.

        May say False for such a key, and never says True for one with entries.
        """

    def lookup(self, key: str, vary: VaryValues) -> list[Entry]:
        """The key's entries that fit the request's values: whole responses and parts, fresh or stale."""

    def search(self, search: str, but: str, vary: VaryValues) -> list[Entry]:
        """The newest fitting entries of keys other than `but` whose key without its query is `search`.

        At most 32; whether their queries are equivalent (No-Vary-Search) is for the caller to decide.
        """

    def variants(self, key: str, limit: int) -> list[Entry]:
        """The key's newest whole responses (at most `limit`), whatever they vary on."""

    def freshen(self, entry: Entry) -> bool:
        """Give a stored entry the head and times that a 304 brought; False where it is gone.

        An entry without an id is a further variant with the same body: it is stored only while some entry
        of the key has that body, so that a 304 never brings back what was purged. Waits for other writers.
        """

    def forget(self, entry: Entry) -> None:
        """Remove one entry, unless it has another body by now. Waits for other writers."""

    def shorten(self, entry: Entry, ttl: float) -> None:
        """Give the entry a time to live of `ttl` seconds after its response. Waits for other writers."""

    def purge(self, keys: Iterable[str]) -> int:
        """Remove all entries of the keys, and end their flights; gives the number of entries removed.

        Once it returns, no process finds them, no flight that ran before can commit, and the next who joins
        the key leads. Waits for other writers, and pauses for them.
        """

    def purge_matching(self, *, prefix: str = "", pattern: str = "*") -> int:
        """Purge all keys that begin with `prefix` and match the glob `pattern`, as purge() does.

        What was stored by a download that began after the call may stay.
        """

    def purge_group(self, name: str, origin: str | None) -> int:
        """Purge the entries and flights in a cache group (RFC 9875) of an origin, as purge() does.

        `origin` is scheme and authority ("https://origin.example"); None means every origin.
        """

    def uses(self, entry_id: int) -> Uses:
        """The uses of an entry that all processes have noted, at once; some may be missing, none is added.

        It costs about as much as `versions`: no transaction, no lock.
        """

    def usage(self) -> Usage:
        """What is stored now, in sum: a body that several entries name counts once."""

    def counters(self) -> dict[str, int]:
        """The counters by name, as requests have added to them since the store was made; 0 are absent."""

    def instance(self) -> str:
        """A name for this store that no other store has, the same for all processes and ever after.

        The first call makes it, and waits for other writers.
        """
