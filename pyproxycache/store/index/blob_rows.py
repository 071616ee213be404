"""The rows of blobs, by digest, as checks and repairs of bodies need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyproxycache.messages import Entry
from pyproxycache.store.index.released import BlobFiles, drop_blobs
from pyproxycache.store.index.rows import NAMING, SELECT, entry_from
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE

_HAS_FILE = "SELECT 1 FROM blobs WHERE digest = ? AND place IS NULL"


class BlobRows:
    """Tells which blobs the index has, and forgets damaged ones; each method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def blobs(self) -> Iterator[tuple[str, int]]:
        """Digest and size of every blob, in the order of digests; reads 1,000 at a time."""
        digest = ""
        statement = f"SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT {PAGE}"
        while page := self._database.rows(statement, (digest,), tuple[str, int]):
            yield from page
            digest = page[-1][0]

    def next_blob(self, after: str) -> tuple[str, int] | None:
        """Digest and size of the blob whose digest is the next one `after` this; None after the last."""
        statement = "SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT 1"
        rows = self._database.rows(statement, (after,), tuple[str, int])
        return rows[0] if rows else None

    def has_blob(self, digest: str) -> bool:
        """Whether a blob row knows the digest; waits for a commit that is under way."""
        return self._finds("SELECT 1 FROM blobs WHERE digest = ?", digest)

    def has_file(self, digest: str) -> bool:
        """Whether a blob row knows the digest and has its body in a file; waits for a commit under way."""
        return self._finds(_HAS_FILE, digest)

    def _finds(self, statement: str, digest: str) -> bool:
        if self._database.select(statement, (digest,)):
            return True
        with self._database.write() as db:
            return db.execute(statement, (digest,)).fetchone() is not None

    def unbacked(self) -> list[Entry]:
        """Entries whose digest has no blob row: none, unless the file was changed by hand."""
        with self._database.read() as db:
            rows = db.execute(
                f"{SELECT} WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = entries.digest)"
            ).fetchall()
            return [entry_from(row) for row in rows]

    def last_used(self, seconds: float, now: float) -> dict[str, int]:
        """Digest to size of the bodies in files that were used in the `seconds` before the last use.

        Uses later than `now` (epoch seconds), which a wrong clock has noted, are not taken for the last
        one.
        """
        rows = self._database.select(
            "SELECT digest, blobs.size FROM accesses CROSS JOIN entries ON id = accesses.entry"
            " JOIN blobs USING (digest) WHERE place IS NULL AND accesses.accessed >= ifnull("
            "(SELECT accesses.accessed FROM accesses CROSS JOIN entries ON id = entry"
            " WHERE accesses.accessed <= ? ORDER BY accesses.accessed DESC LIMIT 1), 0) - ?",
            (now, seconds),
        )
        return dict(rows)

    def drop_blob(self, digest: str, files: BlobFiles) -> int:
        """Forget a damaged blob, its file and every entry that names it; gives the number of entries."""
        with self._database.write() as db:
            count = db.execute(f"DELETE FROM entries WHERE id IN {NAMING}", (digest,)).rowcount
            drop_blobs(db, [digest], files)
        files.free_removed()
        return count

    def drop_strays(self, digests: Iterable[str], files: BlobFiles) -> int:
        """Remove those files that no row of `blobs` says to be there; gives how many there were."""
        count = 0
        with self._database.write() as db:
            for digest in digests:
                if not db.execute(_HAS_FILE, (digest,)).fetchone():
                    files.remove(digest)
                    count += 1
        files.free_removed()
        return count
