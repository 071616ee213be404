"""Takes responses into the store that no download has brought."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from pyproxycache.messages import Entry, Part
from pyproxycache.store.bodies.commits import Commit, Commits
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.index.listing import Listing
from pyproxycache.store.upkeep.space import Space


class Adoption:
    """Stores responses that are at hand, as out of an archive, unless the store has newer ones."""

    def __init__(self, claims: Claims, space: Space, commits: Commits, listing: Listing) -> None:
        self._claims = claims
        self._space = space
        self._commits = commits
        self._listing = listing

    def adopt(self, entry: Entry, body: Iterable[bytes]) -> bool:
        """Store the entry with its body; False if it is outdated by now.

        Raises NoSpace, StoreError, and what reading the body raises, perhaps only at its end.
        """
        token = secrets.token_hex(8)
        file = self._claims.new_file(token)
        allowed = 0
        try:
            for block in body:
                if file.size + len(block) > allowed:
                    allowed = self._space.allow(file.size, len(block))
                file.write(block)
            # In the transaction nobody else stores.
            commit = Commit(entry, file, token, lambda _db: not self.is_outdated(entry))
            return self._commits.store(commit) is not None
        finally:
            file.discard()

    def is_outdated(self, entry: Entry) -> bool:
        """Whether something as new or newer is there whose place it would take, or that has all of it."""
        found = [access.entry for access in self._listing.accesses(entry.key)]
        return any(
            there.vary == entry.vary
            and there.response_time >= entry.response_time
            and (_has_all(there.part, entry.part) or _has_all(entry.part, there.part))
            for there in found
        )


def _has_all(part: Part | None, other: Part | None) -> bool:
    """Whether the part has all of the other one; None is the whole."""
    if part is None or other is None:
        return part is None
    return part.start <= other.start and other.end <= part.end
