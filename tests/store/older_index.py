"""An index as an earlier version left it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from cachedir import CacheDir

_TO_5 = """
    DROP VIEW naming;
    DROP TRIGGER entry_ranked;
    DROP TRIGGER entry_ranked_anew;
    DROP TRIGGER entry_removed;
    DROP TRIGGER entry_replaced;
    DROP TABLE accesses;
    DROP TABLE priorities;
    CREATE INDEX entries_by_digest ON entries (digest);
    CREATE INDEX entries_by_access ON entries (accessed);
    CREATE INDEX entries_by_priority ON entries (priority, accessed);
    CREATE TABLE former (
        place INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, content BLOB
    );
    INSERT INTO former (digest, size, content) SELECT digest, size,
        (SELECT content FROM small_bodies WHERE small_bodies.place = blobs.place) FROM blobs;
    DROP TABLE blobs;
    DROP TABLE small_bodies;
    DROP TABLE sharers;
    ALTER TABLE former RENAME TO blobs;
    CREATE TABLE noted AS SELECT place, digest FROM released;
    DROP TABLE released;
    CREATE TABLE released (place INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL);
    INSERT INTO released SELECT * FROM noted;
    DROP TABLE noted;
    CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
        UPDATE usage SET entries = entries - 1;
        INSERT INTO released (digest) VALUES (OLD.digest);
    END;
    CREATE TRIGGER entry_replaced AFTER UPDATE OF digest ON entries WHEN OLD.digest != NEW.digest BEGIN
        INSERT INTO released (digest) VALUES (OLD.digest);
    END;
    ALTER TABLE entries DROP COLUMN proven;
    DROP TABLE documents;
    DROP TABLE stated;
    DROP TABLE repositories;
    DROP TABLE mismatches;
    ALTER TABLE usage DROP COLUMN stated;
    DROP TABLE pins;
    PRAGMA user_version = 5;
"""


def bring_back_to_5(cache: CacheDir) -> None:
    """Before accesses and priorities had tables of their own, and small bodies theirs."""
    cache.database.close()
    with closing(sqlite3.connect(cache.database.path)) as db:
        db.executescript(_TO_5)
