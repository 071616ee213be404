"""The tables of the index, and the migrations of older files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pyproxycache.store.files.footprint import BLOCK

# What a file takes of the disk.
_ALLOCATED = f"(({{}} + {BLOCK - 1}) / {BLOCK} * {BLOCK})"
_MIGRATIONS = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        vary TEXT NOT NULL,
        variant TEXT NOT NULL,
        first_pos INTEGER NOT NULL,
        last_pos INTEGER NOT NULL,
        complete_length INTEGER,
        status INTEGER NOT NULL,
        reason TEXT NOT NULL,
        headers TEXT NOT NULL,
        request_time REAL NOT NULL,
        response_time REAL NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        ttl REAL,
        peer TEXT NOT NULL,
        groups TEXT,
        search TEXT,
        accessed REAL NOT NULL,
        hits INTEGER NOT NULL DEFAULT 0,
        uses INTEGER NOT NULL,
        priority REAL NOT NULL,
        UNIQUE (key, vary, variant, first_pos, last_pos)
    );
    CREATE INDEX entries_by_time ON entries (key, response_time) WHERE first_pos < 0 AND vary != '';
    CREATE INDEX entries_by_search ON entries (search, vary, variant, response_time)
        WHERE search IS NOT NULL;
    CREATE INDEX entries_by_digest ON entries (digest);
    CREATE INDEX entries_by_access ON entries (accessed);
    CREATE INDEX entries_by_priority ON entries (priority, accessed);
    CREATE TABLE ghosts (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        name INTEGER NOT NULL UNIQUE,
        uses INTEGER NOT NULL
    );
    CREATE TABLE entry_groups (
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        entry INTEGER NOT NULL,
        PRIMARY KEY (name, origin, entry)
    ) WITHOUT ROWID;
    CREATE INDEX entry_groups_by_entry ON entry_groups (entry);
    CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE released (place INTEGER PRIMARY KEY, digest TEXT NOT NULL);
    CREATE TABLE usage (
        bytes INTEGER NOT NULL,
        blobs INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        age REAL NOT NULL
    );
    INSERT INTO usage VALUES (0, 0, 0, 0);
    CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
        UPDATE usage SET entries = entries + 1;
    END;
    CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
        UPDATE usage SET entries = entries - 1;
        INSERT INTO released (digest) VALUES (OLD.digest);
    END;
    CREATE TRIGGER entry_replaced AFTER UPDATE OF digest ON entries WHEN OLD.digest != NEW.digest BEGIN
        INSERT INTO released (digest) VALUES (OLD.digest);
    END;
    CREATE TRIGGER entry_ungrouped AFTER DELETE ON entries WHEN OLD.groups IS NOT NULL BEGIN
        DELETE FROM entry_groups WHERE entry = OLD.id;
    END;
    CREATE TRIGGER entry_regrouped AFTER UPDATE OF groups ON entries WHEN OLD.groups IS NOT NULL BEGIN
        DELETE FROM entry_groups WHERE entry = OLD.id;
    END;
    CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
        UPDATE usage SET bytes = bytes + NEW.size, blobs = blobs + 1;
    END;
    CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
        UPDATE usage SET bytes = bytes - OLD.size, blobs = blobs - 1;
    END;
    CREATE TABLE flights (
        key TEXT PRIMARY KEY,
        token TEXT NOT NULL,
        owner TEXT NOT NULL,
        partial TEXT NOT NULL,
        entry TEXT,
        started REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE not_storable (key TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    f"""
    ALTER TABLE usage ADD COLUMN allocated INTEGER NOT NULL DEFAULT 0;
    UPDATE usage SET allocated = (SELECT ifnull(sum({_ALLOCATED.format("size")}), 0) FROM blobs);
    CREATE TRIGGER blob_allocated AFTER INSERT ON blobs BEGIN
        UPDATE usage SET allocated = allocated + {_ALLOCATED.format("NEW.size")};
    END;
    CREATE TRIGGER blob_given_back AFTER DELETE ON blobs BEGIN
        UPDATE usage SET allocated = allocated - {_ALLOCATED.format("OLD.size")};
    END;
    """,
    """
    DROP TABLE flights;
    CREATE TABLE flights (
        cache_key TEXT NOT NULL,
        variant TEXT NOT NULL,
        token TEXT NOT NULL,
        owner TEXT NOT NULL,
        partial TEXT NOT NULL,
        entry TEXT,
        started REAL NOT NULL,
        PRIMARY KEY (cache_key, variant)
    ) WITHOUT ROWID;
    DROP TABLE not_storable;
    CREATE TABLE not_storable (
        cache_key TEXT NOT NULL,
        variant TEXT NOT NULL,
        until REAL NOT NULL,
        PRIMARY KEY (cache_key, variant)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE noted AS SELECT digest FROM released ORDER BY place;
    DROP TABLE released;
    CREATE TABLE released (place INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL);
    INSERT INTO released (digest) SELECT digest FROM noted;
    DROP TABLE noted;
    """,
    f"""
    ALTER TABLE blobs RENAME TO files;
    CREATE TABLE blobs (
        place INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        content BLOB
    );
    INSERT INTO blobs (digest, size) SELECT digest, size FROM files;
    DROP TABLE files;
    CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
        UPDATE usage SET bytes = bytes + NEW.size, blobs = blobs + 1,
            allocated = allocated + iif(NEW.content IS NULL, {_ALLOCATED.format("NEW.size")}, 0);
    END;
    CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
        UPDATE usage SET bytes = bytes - OLD.size, blobs = blobs - 1,
            allocated = allocated - iif(OLD.content IS NULL, {_ALLOCATED.format("OLD.size")}, 0);
    END;
    CREATE TRIGGER blob_moved AFTER UPDATE OF content ON blobs
        WHEN OLD.content IS NULL AND NEW.content IS NOT NULL
    BEGIN
        UPDATE usage SET allocated = allocated - {_ALLOCATED.format("OLD.size")};
    END;
    """,
    f"""
    CREATE TABLE accesses (
        accessed REAL NOT NULL,
        entry INTEGER NOT NULL,
        PRIMARY KEY (accessed, entry)
    ) WITHOUT ROWID;
    INSERT INTO accesses SELECT accessed, id FROM entries ORDER BY accessed, id;
    CREATE TABLE priorities (
        priority REAL NOT NULL,
        accessed REAL NOT NULL,
        entry INTEGER NOT NULL,
        PRIMARY KEY (priority, accessed, entry)
    ) WITHOUT ROWID;
    INSERT INTO priorities SELECT priority, accessed, id FROM entries ORDER BY priority, accessed, id;
    DROP INDEX entries_by_access;
    DROP INDEX entries_by_priority;
    CREATE TRIGGER entry_ranked AFTER INSERT ON entries BEGIN
        INSERT INTO accesses VALUES (NEW.accessed, NEW.id);
        INSERT INTO priorities VALUES (NEW.priority, NEW.accessed, NEW.id);
    END;
    CREATE TRIGGER entry_ranked_anew AFTER UPDATE OF accessed, priority ON entries
        WHEN OLD.accessed != NEW.accessed OR OLD.priority != NEW.priority
    BEGIN
        DELETE FROM accesses WHERE accessed = OLD.accessed AND entry = OLD.id;
        INSERT INTO accesses VALUES (NEW.accessed, NEW.id);
        DELETE FROM priorities
            WHERE priority = OLD.priority AND accessed = OLD.accessed AND entry = OLD.id;
        INSERT INTO priorities VALUES (NEW.priority, NEW.accessed, NEW.id);
    END;
    CREATE TABLE small_bodies (place INTEGER PRIMARY KEY, content BLOB NOT NULL);
    INSERT INTO small_bodies SELECT place, content FROM blobs WHERE content IS NOT NULL;
    ALTER TABLE blobs RENAME TO former;
    CREATE TABLE blobs (
        digest TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        entry INTEGER,
        place INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE sharers (
        digest TEXT NOT NULL,
        entry INTEGER NOT NULL,
        PRIMARY KEY (digest, entry)
    ) WITHOUT ROWID;
    INSERT INTO blobs SELECT digest, size,
        (SELECT iif(min(id) = max(id), min(id), NULL) FROM entries WHERE entries.digest = former.digest),
        iif(content IS NULL, NULL, place)
        FROM former ORDER BY digest;
    INSERT INTO sharers SELECT entries.digest, id FROM entries JOIN blobs USING (digest)
        WHERE blobs.entry IS NULL ORDER BY entries.digest, id;
    DROP TABLE former;
    DROP INDEX entries_by_digest;
    CREATE VIEW naming AS
        SELECT blobs.digest AS digest, entries.id AS entry FROM blobs
            JOIN entries ON entries.id = blobs.entry AND entries.digest = blobs.digest
        UNION ALL
        SELECT sharers.digest, entries.id FROM sharers
            JOIN entries ON entries.id = sharers.entry AND entries.digest = sharers.digest;
    CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
        UPDATE usage SET bytes = bytes + NEW.size, blobs = blobs + 1,
            allocated = allocated + iif(NEW.place IS NULL, {_ALLOCATED.format("NEW.size")}, 0);
    END;
    CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
        DELETE FROM small_bodies WHERE place = OLD.place;
        DELETE FROM sharers WHERE digest = OLD.digest;
        UPDATE usage SET bytes = bytes - OLD.size, blobs = blobs - 1,
            allocated = allocated - iif(OLD.place IS NULL, {_ALLOCATED.format("OLD.size")}, 0);
    END;
    CREATE TRIGGER blob_moved AFTER UPDATE OF place ON blobs
        WHEN OLD.place IS NULL AND NEW.place IS NOT NULL
    BEGIN
        UPDATE usage SET allocated = allocated - {_ALLOCATED.format("OLD.size")};
    END;
    CREATE TRIGGER blob_shared AFTER UPDATE OF entry ON blobs
        WHEN OLD.entry IS NOT NULL AND NEW.entry IS NULL
    BEGIN
        INSERT OR IGNORE INTO sharers VALUES (OLD.digest, OLD.entry);
    END;
    ALTER TABLE released ADD COLUMN entry INTEGER;
    ALTER TABLE released ADD COLUMN accessed REAL;
    ALTER TABLE released ADD COLUMN priority REAL;
    DROP TRIGGER entry_removed;
    CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
        UPDATE usage SET entries = entries - 1;
        INSERT INTO released (digest, entry, accessed, priority)
            VALUES (OLD.digest, OLD.id, OLD.accessed, OLD.priority);
    END;
    DROP TRIGGER entry_replaced;
    CREATE TRIGGER entry_replaced AFTER UPDATE OF digest ON entries WHEN OLD.digest != NEW.digest BEGIN
        INSERT INTO released (digest, entry) VALUES (OLD.digest, OLD.id);
    END;
    """,
    """
    ALTER TABLE entries ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY,
        url TEXT NOT NULL UNIQUE,
        read REAL NOT NULL,
        reading REAL
    );
    CREATE INDEX documents_by_time ON documents (read);
    CREATE INDEX documents_in_reading ON documents (reading) WHERE reading IS NOT NULL;
    CREATE TABLE stated (
        file BLOB PRIMARY KEY,
        digests TEXT NOT NULL,
        binding INTEGER NOT NULL,
        document INTEGER NOT NULL,
        day INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX stated_by_day ON stated (day);
    CREATE TABLE mismatches (file BLOB PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
    ALTER TABLE usage ADD COLUMN stated INTEGER NOT NULL DEFAULT 0;
    CREATE TRIGGER stated_added AFTER INSERT ON stated BEGIN
        UPDATE usage SET stated = stated + 1;
    END;
    CREATE TRIGGER stated_removed AFTER DELETE ON stated BEGIN
        UPDATE usage SET stated = stated - 1;
    END;
    """,
    """
    CREATE TABLE pins (
        key TEXT PRIMARY KEY,
        since REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    DROP TABLE stated;
    DELETE FROM documents;
    UPDATE usage SET stated = 0;
    CREATE TABLE repositories (
        id INTEGER PRIMARY KEY,
        url TEXT NOT NULL UNIQUE
    );
    CREATE TABLE stated (
        file BLOB NOT NULL,
        repository INTEGER NOT NULL,
        digests BLOB NOT NULL,
        binding INTEGER NOT NULL,
        document INTEGER NOT NULL,
        day INTEGER NOT NULL,
        PRIMARY KEY (file, repository)
    ) WITHOUT ROWID;
    CREATE INDEX stated_by_day ON stated (repository, day);
    CREATE TRIGGER stated_added AFTER INSERT ON stated BEGIN
        UPDATE usage SET stated = stated + 1;
    END;
    CREATE TRIGGER stated_removed AFTER DELETE ON stated BEGIN
        UPDATE usage SET stated = stated - 1;
    END;
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)

# What the answer to a request is made of.
_CONTENT = (
    "status, reason, headers, request_time, response_time, digest, size, ttl, peer, groups, search,"
    " complete_length, proven"
)
OF_CLAIMS = "claims:"
WATCHES = tuple(
    f"CREATE TEMP TRIGGER {name} AFTER {change} BEGIN SELECT note_change({key}); END"
    for name, change, key in (
        ("entry_came", "INSERT ON entries", "NEW.key"),
        ("search_came", "INSERT ON entries WHEN NEW.search IS NOT NULL", "NEW.search"),
        ("search_changed", "UPDATE OF search ON entries WHEN NEW.search IS NOT NULL", "NEW.search"),
        ("entry_changed", f"UPDATE OF {_CONTENT} ON entries", "NEW.key"),
        ("entry_went", "DELETE ON entries", "OLD.key"),
        ("flight_went", "DELETE ON flights", "OLD.cache_key"),
        ("flight_came", "INSERT ON flights", f"'{OF_CLAIMS}' || NEW.cache_key"),
        ("refusal_came", "INSERT ON not_storable", f"'{OF_CLAIMS}' || NEW.cache_key"),
    )
)
"""Triggers for a connection that writes: `note_change` is told the key, whichever statement changes what is
stored for it, and the key without its query where something can be found by that; of what is said of
downloads, the key behind OF_CLAIMS."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate the tables from this version to the newest, in the caller's transaction."""
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one (executescript would commit the transaction first)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
