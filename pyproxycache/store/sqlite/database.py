"""The SQLite file: connections for readers, one writer at a time over all processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pyproxycache import clock
from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.store.files.claim_locks import ClaimLocks
from pyproxycache.store.files.file_lock import FileLock
from pyproxycache.store.files.footprint import LARGEST_LOG
from pyproxycache.store.files.last_uses import LastUses
from pyproxycache.store.files.private import create_private, keep_private
from pyproxycache.store.files.versions import Versions
from pyproxycache.store.files.writing import as_store_error
from pyproxycache.store.sqlite.connections import PAGE_SIZE, connect, prepare_writer
from pyproxycache.store.sqlite.damage import (
    DamagedRow,
    Identity,
    as_written,
    identity,
    is_damage,
    set_aside,
)
from pyproxycache.store.sqlite.schema import SCHEMA_VERSION, migrate

# A log's index that cannot grow is told of as an error of its own.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]
R = TypeVar("R")

_MOST_IDLE = 16
_LOCKED_SECONDS = 10.0
# Seconds: longer than any transaction of ours, and short beside a client's own patience.
_PATIENCE = 5.0
_ROWS_TO_SETTLE = 10_000
# A purge of all there is makes the log of a small cache five times as long as it may be, for a moment.
_TIMES_TOO_LONG = 8

_IS_USED = (
    "SELECT EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM flights)"
    " OR EXISTS (SELECT 1 FROM not_storable)"
)

_BESIDE = ("index.lock", "collect.lock", "verify.lock", "claims", "versions", "uses", "intent")


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """One SQLite file, safe across threads and across fork.

    A reader takes an idle connection, so that there are as many as there are reads at the same time. There
    is one to write with. Writers queue on a file lock (and a thread lock in front of it), which wakes them
    in the kernel where SQLite's own waiting would poll. Before a fork all connections are closed; that no
    other thread uses one then is up to the process that forks (SQLite keeps its locks by process).
    """

    def __init__(self, path: Path, most_log: int = LARGEST_LOG) -> None:
        """`most_log`: bytes of the log that bring whoever commits to shorten it."""
        self.path = path
        self.log_path = path.with_name(f"{path.name}-wal")
        self._most_log = most_log
        self._idle: list[sqlite3.Connection] = []  # taken and given back in one step, without a lock
        self.damage = ""  # what was found to be wrong: nothing is read or written any more
        self._identity: Identity | None = None
        self._locked_until = 0.0  # steady seconds
        # Held for each write transaction; guards what follows.
        self._lock = FileLock(path.with_suffix(".lock"))
        self._writer: tuple[int, sqlite3.Connection] | None = None  # the process it is of
        self._changed: set[str] = set()  # keys that this transaction changes
        self._unsettled = 0  # rows changed since the log was brought into the file
        self._settles_at_once = False  # replaced in one step, without a lock
        self._inherited: list[object] = []  # a parent's connections: neither used nor closed
        self._synced: int | None = None
        self._versions: Versions | None = None
        self._uses: LastUses | None = None
        self._claim_locks: ClaimLocks | None = None
        _databases.add(self)

    @property
    def versions(self) -> Versions:
        """The versions of all keys, which commits change. Raises StoreError."""
        if self._versions is None:
            self._versions = Versions(self.path.with_name("versions"))
        return self._versions

    @property
    def uses(self) -> LastUses:
        """When entries were used last, and how often. Raises StoreError."""
        if self._uses is None:
            self._uses = LastUses(self.path.with_name("uses"))
        return self._uses

    @property
    def claim_locks(self) -> ClaimLocks:
        """The locks of claims, whose epochs purges change. Raises StoreError."""
        if self._claim_locks is None:
            self._claim_locks = ClaimLocks(self.path.with_name("claims"))
        return self._claim_locks

    def open_shared(self) -> None:
        """Open the files beside the index that workers share, or make them. Raises StoreError."""
        _shared = self.versions, self.uses, self.claim_locks

    def migrate(self) -> bool:
        """Migrate the index to this program's schema; gives whether it is new.

        Raises StoreError, also for a file from a later version.
        """
        self._make_private()
        self._identity = identity(self.path)
        with self.alone(), self.read() as connection, self._transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by a later version (schema {version}; this one knows "
                    f"{SCHEMA_VERSION}): upgrade, or start with another --cache-dir"
                )
            migrate(connection, version)
            _ = self.uses  # made now, where room for it can still be found
            if not self.versions.is_ready:
                (is_used,) = connection.execute(_IS_USED).fetchone()
                self.versions.begin_use(is_empty=not is_used)
        return bool(version == 0)

    def _make_private(self) -> None:
        """Let only the cache's user read the files; the log and its index get the mode of the index."""
        try:
            create_private(self.path)
        except OSError as error:
            raise as_store_error(f"cannot make the index {self.path}", error) from error
        keep_private(self.path.with_name(f"{self.path.name}{suffix}") for suffix in ("", "-wal", "-shm"))
        keep_private(self.path.with_name(name) for name in _BESIDE)

    def select(self, statement: str, values: Values = ()) -> list[Row]:
        """The rows of one SELECT, which sees all that was committed before it."""
        with self.read() as db:
            return db.execute(statement, values).fetchall()

    def rows(self, statement: str, values: Values, kind: type[R]) -> list[R]:
        """The rows of one SELECT, each of which is to be of this kind, such as tuple[str, int].

        One that is not says that the index is damaged. Raises StoreError.
        """
        with self.read() as db:
            found = db.execute(statement, values).fetchall()
            return as_written(found, list[kind])  # type: ignore[valid-type]

    def row(self, statement: str, kind: type[R]) -> R:
        """The one row of a SELECT, as `rows` gives it; that it is not there says the same."""
        with self.read() as db:
            found = db.execute(statement).fetchall()
            return as_written(found, tuple[kind])[0]  # type: ignore[valid-type]

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for SELECTs, each of which is to be read to its end inside the block.

        Raises StoreError where the index cannot be read.
        """
        if self.damage:
            raise StoreError(self.damage)
        try:
            connection = self._idle.pop()
        except IndexError:
            self._refuse_while_locked()
            connection = self._connect()
        is_good = False
        try:
            with self._errors("read"):
                yield connection
            is_good = True
        finally:
            if is_good and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    @contextlib.contextmanager
    def write(self, *, after_others: bool = False) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end of the block, rolled back on an error.

        With `after_others`, whoever waits for the lock now writes first. The versions of the keys whose
        entries it changes or whose flights it ends are changed with it. Raises StoreError if the index
        cannot be written to, NoSpace if that is because of a full disk.
        """
        with self.alone(after_others=after_others):
            connection = self._own_writer()
            before = connection.total_changes
            with self._transaction(connection):
                yield connection
            self._unsettled += connection.total_changes - before

    @contextlib.contextmanager
    def settling_at_once(self, at_once: bool) -> Iterator[None]:
        """Have each call of `settle` in the block write the log back, if `at_once`: for a full disk."""
        self._settles_at_once = at_once
        try:
            yield
        finally:
            self._settles_at_once = False

    def settle(self) -> None:
        """Write the log back into the file, if this process has written enough since it last did so.

        Others read and write meanwhile; only the rest of a log that grows too fast is written back with the
        write lock held. Raises StoreError.
        """
        if self._unsettled < _ROWS_TO_SETTLE and not self._settles_at_once:
            return
        self._unsettled = 0
        with self.read() as db:
            _busy, pages, done = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if done < pages and pages > self._most_log // PAGE_SIZE // 8:
            self._sync()
            with self.alone(), self.read() as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def refuse_endless_reader(self) -> None:
        """Raise StoreError while the log is far longer than it may be: each write makes it longer still.

        Nothing is taken out of it that somebody's transaction may still read.
        """
        size = 0
        with contextlib.suppress(OSError):
            size = self.log_path.stat().st_size
        if size > self._most_log * _TIMES_TOO_LONG:
            raise StoreError(
                f"a program reads the index {self.path} without end, so that its log, which has "
                f"{size >> 20} MB, cannot be shortened"
            )

    def _sync(self) -> None:
        """Have what was written back to the file reach the disk."""
        try:
            if self._synced is None:
                # Never closed: to close any descriptor of the file would drop SQLite's locks on it.
                self._synced = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._synced)
        except OSError as error:
            raise StoreError(f"cannot write to the index {self.path}: {error.strerror}") from error

    @contextlib.contextmanager
    def alone(self, *, after_others: bool = False) -> Iterator[None]:
        """Keep all other writers out for the length of the block. Raises StoreError."""
        if self.damage:
            raise StoreError(self.damage)
        self._refuse_while_locked()
        with self._lock.held(_PATIENCE, after_others=after_others), self._errors("write to"):
            yield

    def _refuse_while_locked(self) -> None:
        """Raise StoreError while another program has SQLite's lock: one caller in ten seconds waits."""
        if clock.steady() < self._locked_until:
            raise StoreError(f"another program has the index {self.path} locked")

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._as_store_error(doing, error) from error
        except DamagedRow as error:
            self.damage = f"the index {self.path} is damaged: {error}"
            raise

    def _as_store_error(self, doing: str, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
        """SQLite's error as a StoreError; notes damage, and locks of other programs."""
        text = f"cannot {doing} the index {self.path}: {error}"
        if is_damage(error):
            self.damage = f"the index {self.path} is damaged: {error}"
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_BUSY:
            self._locked_until = clock.steady() + _LOCKED_SECONDS
        return NoSpace(text) if code in _FULL else StoreError(text)

    def set_aside_if_damaged(self) -> None:
        """Rename a damaged index, so that a new one can be made in its place. Raises StoreError."""
        if not self.damage:
            return
        try:
            with self._lock.held(_PATIENCE):
                # Somebody else may have done it meanwhile.
                if identity(self.path) == self._identity:
                    set_aside(self.path)
        except OSError as error:
            raise StoreError(f"cannot set {self.path} aside: {error.strerror}") from error

    def _own_writer(self) -> sqlite3.Connection:
        """This process's connection for writing, made if there is none yet."""
        pid = os.getpid()
        if self._writer is None or self._writer[0] != pid:
            self._inherited.append(self._writer)
            connection = self._connect()
            prepare_writer(connection, self._changed.add)
            self._writer = (pid, connection)
        return self._writer[1]

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
        slots = {self.versions.slot(key) for key in self._changed}
        self.versions.begin(slots)
        try:
            connection.execute("COMMIT")
        finally:
            self.versions.end(slots)

    def close(self) -> None:
        """Close all connections that nobody uses; the next use opens new ones."""
        self.close_readers()
        with contextlib.suppress(StoreError), self._lock.held(_PATIENCE):
            pid = os.getpid()
            if self._writer is not None and self._writer[0] == pid:
                self._writer[1].close()
                self._writer = None
        self._lock.close()

    def close_readers(self) -> None:
        """Close the idle connections for reading."""
        while self._idle:
            self._idle.pop().close()

    def close_before_fork(self) -> None:
        """Close all connections but one in a transaction, which is the parent's."""
        self.close_readers()
        writer = self._writer
        if writer is not None and writer[0] == os.getpid() and not writer[1].in_transaction:
            writer[1].close()
            self._writer = None

    def _connect(self) -> sqlite3.Connection:
        try:
            return connect(self.path, self._most_log)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._as_store_error("open", error) from error


def _close_before_fork() -> None:
    """SQLite keeps its locks by process: a child that inherits them would believe them its own."""
    for database in list(_databases):
        database.close_before_fork()


os.register_at_fork(before=_close_before_fork)
