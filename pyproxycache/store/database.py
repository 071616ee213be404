"""The SQLite file: its schema, its migrations, one connection a thread, one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.messages import without_query
from pyproxycache.store.claim_locks import ClaimLocks
from pyproxycache.store.locks import open_lock
from pyproxycache.store.versions import Versions

log = logging.getLogger("pyproxycache.store")

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
        UNIQUE (key, vary, variant, first_pos, last_pos)
    );
    CREATE INDEX entries_by_time ON entries (key, response_time) WHERE first_pos < 0;
    CREATE INDEX entries_by_search ON entries (search, vary, variant, response_time)
        WHERE search IS NOT NULL;
    CREATE INDEX entries_by_digest ON entries (digest);
    CREATE INDEX entries_by_access ON entries (accessed);
    CREATE TABLE entry_groups (
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        entry INTEGER NOT NULL,
        PRIMARY KEY (name, origin, entry)
    ) WITHOUT ROWID;
    CREATE INDEX entry_groups_by_entry ON entry_groups (entry);
    CREATE TRIGGER entry_removed AFTER DELETE ON entries WHEN OLD.groups IS NOT NULL BEGIN
        DELETE FROM entry_groups WHERE entry = OLD.id;
    END;
    CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE usage (bytes INTEGER NOT NULL, blobs INTEGER NOT NULL);
    INSERT INTO usage VALUES (0, 0);
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
)
SCHEMA_VERSION = len(_MIGRATIONS)

# Small per connection, because every request thread has one; pages are shared through the map.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 30000",
    "PRAGMA cache_size = -128",
    "PRAGMA mmap_size = 268435456",
    "PRAGMA temp_store = MEMORY",
)

# Of each connection: whichever statement changes what is stored for a key, its version is told.
_CONTENT = (
    "status, reason, headers, request_time, response_time, digest, size, ttl, peer, groups, search,"
    " complete_length"
)
_WATCHES = tuple(
    f"CREATE TEMP TRIGGER {name} AFTER {change} BEGIN SELECT note_change({row}.key); END"
    for name, change, row in (
        ("entry_came", "INSERT ON entries", "NEW"),
        ("entry_changed", f"UPDATE OF {_CONTENT} ON entries", "NEW"),
        ("entry_went", "DELETE ON entries", "OLD"),
        ("flight_went", "DELETE ON flights", "OLD"),
    )
)


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """Connections to one SQLite file, safe across threads and across fork.

    Writers queue on a file lock (and a thread lock in front of it), which wakes them in the kernel
    where SQLite's own waiting would poll. Before a fork the forking thread's connection is closed; that
    no other thread has one then is up to the process that forks (SQLite keeps its locks by process).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._turn = threading.Lock()  # guards _lock_fd and is held for each write transaction
        self._lock_fd: tuple[int, int] | None = None  # process and descriptor
        self._changed: set[int] = set()  # slots of the keys that this transaction changes; under _turn
        self._versions: Versions | None = None
        self._claim_locks: ClaimLocks | None = None
        _databases.add(self)

    @property
    def versions(self) -> Versions:
        """The versions of all keys; raises StoreError."""
        if self._versions is None:
            self._versions = Versions(self.path.with_name("versions"))
        return self._versions

    @property
    def claim_locks(self) -> ClaimLocks:
        """Who leads which key; raises StoreError."""
        if self._claim_locks is None:
            self._claim_locks = ClaimLocks(self.path.with_name("claims"))
        return self._claim_locks

    def migrate(self) -> None:
        """Bring the schema to this version; raises StoreError for a file from a later one."""
        connection = self.read()
        with self._alone(), self._transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by a later version (schema {version}; this one knows "
                    f"{SCHEMA_VERSION}): upgrade, or start with another --cache-dir"
                )
            for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    def read(self) -> sqlite3.Connection:
        """This thread's connection, for single SELECTs (each sees all that was committed before it)."""
        pid = os.getpid()
        if getattr(self._local, "pid", None) != pid:
            # A connection inherited through fork must not be used, nor closed: its locks are the parent's.
            self._local.inherited = getattr(self._local, "connection", None)
            self._local.connection = self._connect()
            self._local.pid = pid
        connection: sqlite3.Connection = self._local.connection
        return connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end of the block, rolled back on an error.

        The versions of the keys whose entries it changes or whose flights it ends are changed with it.
        Raises StoreError when the index cannot be written to, NoSpace when that is for a full disk.
        """
        connection = self.read()
        with self._alone():
            self._watch(connection)
            with self._transaction(connection):
                yield connection

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else writes; with errors of SQLite's as our own."""
        with self._turn:
            lock = self._write_lock()
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            except sqlite3.DatabaseError as error:
                full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
                kind = NoSpace if full else StoreError
                raise kind(f"cannot write to the index {self.path}: {error}") from error
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _watch(self, connection: sqlite3.Connection) -> None:
        """Have this thread's connection note what it changes."""
        if getattr(self._local, "watched", None) is connection:
            return
        connection.create_function("note_change", 1, self._note_change)
        for statement in _WATCHES:
            connection.execute(statement)
        self._local.watched = connection

    @contextlib.contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        self._changed.clear()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._commit(connection)
        except BaseException:
            if connection.in_transaction:  # SQLite rolls back by itself on some errors
                connection.execute("ROLLBACK")
            raise

    def _commit(self, connection: sqlite3.Connection) -> None:
        if not self._changed:
            connection.execute("COMMIT")
            return
        self.versions.begin(self._changed)
        try:
            connection.execute("COMMIT")
        finally:
            self.versions.end(self._changed)

    def _note_change(self, key: str) -> None:
        # A flight's key is that of the entries it brings, a space, and what they vary on.
        self._changed.add(self.versions.slot(key.partition(" ")[0]))

    def close(self) -> None:
        """Close this thread's connection and the write lock; other threads' end with them."""
        self.close_connection()
        with self._turn:
            if self._lock_fd is not None and self._lock_fd[0] == os.getpid():
                os.close(self._lock_fd[1])
            self._lock_fd = None

    def close_connection(self) -> None:
        """Close this thread's connection, unless it is in a transaction; the next use opens another."""
        local = self._local
        if getattr(local, "pid", None) == os.getpid() and not local.connection.in_transaction:
            local.connection.close()
            del local.connection
            del local.pid

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the index {self.path}: {error}") from error
        return connection

    def _write_lock(self) -> int:
        pid = os.getpid()
        if self._lock_fd is None or self._lock_fd[0] != pid:
            path = self.path.with_suffix(".lock")
            # Of its own in each process: an inherited descriptor would share the parent's lock.
            try:
                self._lock_fd = (pid, open_lock(path))
            except OSError as error:
                raise StoreError(f"cannot lock the index {path}: {error.strerror}") from error
        return self._lock_fd[1]


@contextlib.contextmanager
def going_on_unwritten(what: str, key: str) -> Iterator[None]:
    """An index that cannot be written to (a full disk) costs no request: say so and go on."""
    try:
        yield
    except StoreError as error:
        log.warning("cannot %s %s: %s", what, without_query(key), error)


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one (executescript would commit the transaction first)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _close_before_fork() -> None:
    """SQLite keeps its locks by process: a child that inherits them would believe them its own."""
    for database in list(_databases):
        database.close_connection()


os.register_at_fork(before=_close_before_fork)
