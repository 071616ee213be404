"""Opens the store in its folder, and mends what an unclean stop has left there."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from pyproxycache.errors import StoreError
from pyproxycache.options import StoreOptions
from pyproxycache.rules.statements import in_force
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.commits import Commits
from pyproxycache.store.bodies.stated_rows import StatedRows
from pyproxycache.store.bodies.stored_bodies import StoredBodies
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.files.footprint import largest_log
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.index.blob_rows import BlobRows
from pyproxycache.store.index.index import Index
from pyproxycache.store.index.listing import Listing
from pyproxycache.store.index.pins import Pins
from pyproxycache.store.index.removals import Removals
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.upkeep.adoption import Adoption
from pyproxycache.store.upkeep.ballast import Ballast
from pyproxycache.store.upkeep.clock_changes import ClockChanges
from pyproxycache.store.upkeep.fsck import Fsck
from pyproxycache.store.upkeep.full_disk import FullDisk
from pyproxycache.store.upkeep.recovery import Recovery
from pyproxycache.store.upkeep.space import Evicted, Space
from pyproxycache.store.upkeep.sweep import Sweep


@dataclass(frozen=True, slots=True)
class OpenStore:
    """The parts of the store in one cache folder, opened."""

    database: Database
    blobs: Blobs
    bodies: StoredBodies
    whole_bodies: WholeBodies
    index: Index
    stated: StatedRows
    listing: Listing
    pins: Pins
    removals: Removals
    blob_rows: BlobRows
    claims: Claims
    commits: Commits
    space: Space
    adoption: Adoption
    full_disk: FullDisk
    fsck: Fsck
    recovery: Recovery
    clock_changes: ClockChanges


def open_store(options: StoreOptions, evicted: Evicted | None = None) -> OpenStore:
    """Open the store in its folder, made or migrated where needed; raises StoreError.

    `evicted` is told of each eviction.
    """
    blobs = Blobs(options.path)
    blobs.create_folders()
    most_log = largest_log(options.max_size, blobs.disk().size)
    database = Database(options.path / "index.sqlite", most_log)
    try:
        return _opened(options, database, blobs, evicted)
    except StoreError:
        if not database.damage:
            raise
    database.set_aside_if_damaged()
    database.close()
    return _opened(options, Database(database.path, most_log), blobs, evicted)


def _opened(options: StoreOptions, database: Database, blobs: Blobs, evicted: Evicted | None) -> OpenStore:
    try:
        is_new = database.migrate()
    except StoreError:
        # On a full disk nothing can be opened, nor any entry removed, without the ballast's room.
        if database.damage or not Ballast(options.path).release():
            raise
        is_new = database.migrate()
    if is_new:
        blobs.discard()  # a new index has no entry for them
    index, removals, blob_rows = Index(database), Removals(database), BlobRows(database)
    commits = Commits(database, blobs)
    claims = Claims(database, blobs, commits)
    whole_bodies = WholeBodies(database, blobs)
    full_disk = FullDisk(index, removals, blobs, Ballast(options.path))
    space = Space(options, removals, Sweep(database, blobs, commits), blobs, full_disk, evicted)
    space.restock()
    fsck = Fsck(index, blob_rows, blobs, whole_bodies)
    recovery = Recovery(space, index, blob_rows, blobs, fsck)
    bodies, listing = StoredBodies(blob_rows, blobs, whole_bodies), Listing(database)
    return OpenStore(
        database=database,
        blobs=blobs,
        bodies=bodies,
        whole_bodies=whole_bodies,
        index=index,
        stated=StatedRows(database, bodies, in_force),
        listing=listing,
        pins=Pins(database),
        removals=removals,
        blob_rows=blob_rows,
        claims=claims,
        commits=commits,
        space=space,
        adoption=Adoption(claims, space, commits, listing),
        full_disk=full_disk,
        fsck=fsck,
        recovery=recovery,
        clock_changes=ClockChanges(database),
    )


def mend_store(options: StoreOptions) -> None:
    """Open the store and mend what an unclean stop may have left; raises StoreError.

    An index whose damage shows only then is set aside, too.
    """
    if not _mend(options) and not _mend(options):
        raise StoreError(f"the store in {options.path} cannot be mended: each new index is damaged")


def _mend(options: StoreOptions) -> bool:
    """Open and mend it; False where a damaged index was set aside for another one to be made."""
    store = open_store(options)
    try:
        store.database.open_shared()  # workers that could not would be replaced again and again
        store.clock_changes.look()
        store.recovery.run()
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the store in {options.path} cannot be mended: {error}") from error
    except StoreError:
        if not store.database.damage:
            raise
        store.database.set_aside_if_damaged()
        return False
    finally:
        store.database.close()
    return True
