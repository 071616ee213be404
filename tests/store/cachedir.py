"""The store's parts over one folder, as a worker process has them, and entries to put into it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pyproxycache.body import FileSlice, Piece
from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.options import Share, StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.commits import Commits
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.files.footprint import LARGEST_IN_INDEX, LARGEST_LOG
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.flights.flight_rows import Claim, Won
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.index.blob_rows import BlobRows
from pyproxycache.store.index.eviction import Candidate
from pyproxycache.store.index.index import Index
from pyproxycache.store.index.listing import Listing
from pyproxycache.store.index.removals import Removals
from pyproxycache.store.index.rows import insert_entry
from pyproxycache.store.ports import DownloadWriter, JoinFlight, LeadFlight
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.upkeep.ballast import Ballast
from pyproxycache.store.upkeep.fsck import Fsck
from pyproxycache.store.upkeep.full_disk import FullDisk
from pyproxycache.store.upkeep.space import Space
from pyproxycache.store.upkeep.sweep import Sweep
from pyproxycache.store.values import VaryValues

URL = "http://origin.example/a"
LEASE = 60.0
_PUT_CONTENT = (
    "UPDATE small_bodies SET content = ? WHERE place = (SELECT place FROM blobs WHERE digest = ?)"
)
_REFUSED = "SELECT cache_key FROM not_storable ORDER BY cache_key"


class CacheDir:
    """One cache folder; `flights` starts this process's flight server at its first use."""

    def __init__(
        self,
        path: Path,
        lease: float = LEASE,
        silence: float = LEASE,
        largest_in_index: int = LARGEST_IN_INDEX,
        most_log: int = LARGEST_LOG,
    ) -> None:
        self.path = path
        self.blobs = Blobs(path)
        self.blobs.create_folders()
        self.database = Database(path / "index.sqlite", most_log)
        self.database.migrate()
        self.index = Index(self.database)
        self.listing = Listing(self.database)
        self.removals = Removals(self.database)
        self.blob_rows = BlobRows(self.database)
        commits = Commits(self.database, self.blobs, largest_in_index)
        self.claims = Claims(self.database, self.blobs, commits)
        self.sweep = Sweep(self.database, self.blobs, commits)
        self.bodies = WholeBodies(self.database, self.blobs)
        self.fsck = Fsck(self.index, self.blob_rows, self.blobs, self.bodies)
        self._terms = Terms(silence, lease)
        self._flights: LocalFlights | None = None

    @property
    def flights(self) -> LocalFlights:
        self._flights = self._flights or LocalFlights(self.claims, self._terms)
        return self._flights

    def space(self, max_size: int | None = None, unused: float | None = None) -> Space:
        """Keeps no disk reserve: the machine's disk is not the tests' business."""
        options = StoreOptions(path=self.path, max_size=max_size, unused=unused, reserve=Share())
        return self.space_by(options)

    def space_by(self, options: StoreOptions) -> Space:
        full_disk = FullDisk(self.index, self.removals, self.blobs, Ballast(self.path))
        return Space(options, self.removals, self.sweep, self.blobs, full_disk)

    def close(self) -> None:
        if self._flights is not None:
            self._flights.close()
        self.database.close()

    def lead(self, key: str = URL) -> DownloadWriter:
        joined = self.flights.join(FlightKey(key))
        assert isinstance(joined, LeadFlight), joined
        joined.writer.withheld = 0  # there is no digest to check
        return joined.writer

    def follow(self, key: str = URL) -> JoinFlight:
        joined = self.flights.join(FlightKey(key))
        assert isinstance(joined, JoinFlight), joined
        return joined

    def put(self, key: str, body: bytes, **fields: str) -> Entry:
        """Store a response as a download does, without a flight."""
        return self.keep(entry(key, **fields), body)

    def keep(self, head: Entry, body: bytes) -> Entry:
        """The same with this head."""
        won = self.claims.claim(FlightKey(head.key), os.urandom(8).hex(), 0.0)
        assert isinstance(won, Won), won
        id = self.claims.store(won.claim, whole(head, body), body)
        assert id is not None
        return replace(whole(head, body), id=id)

    def open_file(self, won: Won, head: Entry) -> tuple[Claim, Partial]:
        """What a claim is once its head is known and its body comes into a file."""
        claim = replace(won.claim, entry=head, partial=won.claim.token)
        return claim, self.claims.open_file(claim, 1000.0)

    def insert(self, heads: Iterable[Entry]) -> None:
        """Rows alone, many at once, for tests that read no body."""
        self.insert_as_it_is(*(whole(head, head.key.encode()) for head in heads))

    def insert_as_it_is(self, *heads: Entry) -> None:
        """The same with the digests and sizes that they have."""
        with self.database.write() as db:
            for head in heads:
                insert_entry(db, head, head.response_time)

    def evict(self, *stored: Entry) -> None:
        """Have these entries make room."""
        candidates = [Candidate(one.id, 0.0, 0.0, one.size) for one in stored]
        self.removals.add_ghosts(self.removals.evict(candidates))
        self.removals.drop_unnamed(self.blobs)

    def stored(self, key: str = URL) -> list[Entry]:
        """Every whole response of the key, the newest first."""
        return self.index.variants(key, 10_000)

    def keys(self) -> list[str]:
        """Of all entries, least recently used first."""
        return [access.entry.key for access in self.listing.walk()]

    def refused(self) -> list[str]:
        """The cache keys of what is known as not storable."""
        return [key for (key,) in self.database.select(_REFUSED)]

    def body(self, stored: Entry) -> bytes:
        return data(self.bodies.read(stored.digest, stored.size, 0, stored.size))

    def rot(self, stored: Entry) -> None:
        """One bit of the body is another one, where it is kept, and its size what it was."""
        path = self.bodies.file(stored.digest)
        data = bytearray(self.body(stored))
        data[len(data) // 2] ^= 1
        if path == self.database.path:
            self._put_content(stored, bytes(data))
        else:
            path.write_bytes(data)

    def lose(self, stored: Entry) -> None:
        """Its bytes are gone, and what names them is not."""
        path = self.bodies.file(stored.digest)
        if path == self.database.path:
            self._put_content(stored, None)
        else:
            path.unlink()

    def _put_content(self, stored: Entry, content: bytes | None) -> None:
        with self.database.write() as db:
            if content is None:
                db.execute("UPDATE blobs SET place = NULL WHERE digest = ?", (stored.digest,))
            else:
                db.execute(_PUT_CONTENT, (content, stored.digest))

    def blob_files(self) -> list[Path]:
        return [path for path in (self.path / "blobs").rglob("*") if path.is_file()]

    def partial_files(self) -> list[Path]:
        return list((self.path / "partial").iterdir())

    def open_files(self) -> set[str]:
        """What this process's descriptors lead to, those of the bodies in the folder."""
        found = set()
        for fd in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(fd.readlink())
                if target.startswith((f"{self.path}/partial/", f"{self.path}/blobs/")):
                    found.add(f"{fd.name} {target}")
        return found

    def fill_up(self) -> None:
        """For this process, the index has no room from here on, as on a full disk."""
        with self.database.write() as db:
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            for _ in range(free):
                db.execute("PRAGMA incremental_vacuum(1)")
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages}")
        with contextlib.suppress(StoreError), self.database.write() as db:
            for number in range(10_000):
                db.execute("INSERT INTO not_storable VALUES (?, '', 0)", (f"{number}{'x' * 500}",))


def entry(key: str = URL, *, etag: str = '"1"', at: float = 1000.0, **fields: str) -> Entry:
    """A response head; `fields` are further header fields, "_" for "-"."""
    lines = [("ETag", etag), *((name.replace("_", "-"), value) for name, value in fields.items())]
    return Entry(key, Head(200, "OK", Headers(lines)), request_time=at, response_time=at)


def asking(**fields: str) -> VaryValues:
    """The values that a request with these fields has for what a response varies on."""
    return lambda names: tuple((name, fields.get(name.replace("-", "_"))) for name in names)


def whole(head: Entry, body: bytes) -> Entry:
    """The entry with its body's digest and size."""
    return replace(head, digest=hashlib.sha256(body).hexdigest(), size=len(body))


def download(writer: DownloadWriter, body: bytes, key: str = URL) -> Entry | None:
    """Lead to the end: head, bytes, commit."""
    writer.begin(entry(key), len(body))
    writer.file.write(body)
    writer.publish_size()
    id = writer.store(whole(entry(key), body))
    return None if id is None else replace(whole(entry(key), body), id=id)


def data(pieces: Iterator[Piece]) -> bytes:
    """All bytes of a body, read as each piece comes."""
    return b"".join(piece.read() if isinstance(piece, FileSlice) else piece for piece in pieces)
