"""An entry as a row of `entries`, and which rows a new one replaces."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any

import msgspec

from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.store.index.eviction import uses_of_ghost
from pyproxycache.store.sqlite.damage import DamagedRow, as_written
from pyproxycache.store.sqlite.priority import IN_PLACE, PRIORITY
from pyproxycache.url import origin_of

COLUMNS = (
    "key",
    "vary",
    "variant",
    "first_pos",
    "last_pos",
    "complete_length",
    "status",
    "reason",
    "headers",
    "request_time",
    "response_time",
    "digest",
    "size",
    "ttl",
    "peer",
    "groups",
    "search",
    "proven",
)
_HEADERS = COLUMNS.index("headers")
FIELDS = ", ".join(COLUMNS)
SELECT = f"SELECT {FIELDS}, id FROM entries"
NAMING = "(SELECT entry FROM naming WHERE digest = ?)"
"""The ids of the entries that name a blob."""

_FIELDS_TO_TEXT = msgspec.json.Encoder()
_FIELDS_FROM_TEXT = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_NAMES_FROM_TEXT = msgspec.json.Decoder(tuple[str, ...])
_VALUES_FROM_TEXT = msgspec.json.Decoder(tuple[str | None, ...])
_MOST_PARTS = 64
_MOST_OF_KEY = 10_000
# Going through so many takes milliseconds, so not every row does.
_ROWS_A_CHECK = 64
_WHOLE = (-1, -1, None)
_NO_END = 2**63 - 1
_IDENTITY = ("key", "vary", "variant", "first_pos", "last_pos")
_UPDATED = tuple(name for name in (*COLUMNS, "accessed") if name not in _IDENTITY)
# A body that is there already stays in its place, and gets the bytes that came last.
_PUT_CONTENT = (
    "INSERT INTO small_bodies (content) SELECT ?2"
    " WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1 AND place IS NOT NULL)"
)
_RENEW_CONTENT = (
    "UPDATE small_bodies SET content = ?2"
    " WHERE place = (SELECT place FROM blobs WHERE digest = ?1) AND content IS NOT ?2"
)
# The one entry that names it; none where several do: these are in `sharers`.
_PUT_BLOB = (
    "INSERT INTO blobs (digest, size, entry, place) VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
    " place = ifnull(place, excluded.place), entry = CASE WHEN entry IS NULL OR entry = excluded.entry"
    " THEN entry WHEN EXISTS (SELECT 1 FROM entries WHERE id = blobs.entry AND digest = blobs.digest)"
    " THEN NULL ELSE excluded.entry END RETURNING entry"
)
_SHARE = "INSERT OR IGNORE INTO sharers VALUES (?, ?)"
_PUT = (
    f"INSERT INTO entries ({FIELDS}, accessed, uses, priority)"
    f" VALUES ({', '.join('?' * len(COLUMNS))}, ?, ?, {PRIORITY})"
    f" ON CONFLICT ({', '.join(_IDENTITY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _UPDATED)
    + f", {IN_PLACE} RETURNING id"
)
_FRESHENED = ("status", "reason", "headers", "request_time", "response_time", "ttl", "groups", "search")
_FRESHEN = (
    f"UPDATE entries SET {', '.join(f'{name} = :{name}' for name in _FRESHENED)}"
    " WHERE id = :id AND digest = :digest"
)
_OF_KEY = "entries WHERE key = ?"
_PARTS = f"{_OF_KEY} AND vary = ? AND variant = ? AND first_pos >= 0"
_COVERED = f"{_PARTS} AND first_pos >= ? AND last_pos <= ? AND (first_pos, last_pos) != (?, ?)"


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """The values of `COLUMNS`, and the id where there is one. A download's entry has no digest yet."""

    key: str
    vary: str
    variant: str
    first_pos: int
    last_pos: int
    complete_length: _Count | None
    status: Annotated[int, msgspec.Meta(ge=100, le=999)]
    reason: Annotated[str, msgspec.Meta(pattern=r"^[^\r\n]*\Z")]
    headers: str
    request_time: float
    response_time: float
    digest: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")]
    size: _Count
    ttl: float | None
    peer: str
    groups: str | None
    search: str | None
    proven: _Count = 0  # is not there in what earlier versions have recorded of a flight
    id: int = 0


def row_of(entry: Entry) -> tuple[Any, ...]:
    """The entry as column values, in the order of `COLUMNS`."""
    part = entry.part
    return (
        entry.key,
        _text_of([name for name, _value in entry.vary]),
        variant_text(entry.vary),
        *((part.start, part.end, part.total) if part is not None else _WHOLE),
        entry.status,
        entry.head.reason,
        _FIELDS_TO_TEXT.encode(entry.headers.fields).decode(),
        entry.request_time,
        entry.response_time,
        entry.digest,
        entry.size,
        entry.ttl,
        entry.peer,
        json.dumps(entry.groups) if entry.groups else None,
        entry.search or None,
        entry.is_proven + 2 * entry.is_disputed,
    )


def _columns_of(entry: Entry) -> dict[str, Any]:
    """The entry as column values, by the columns' names."""
    return dict(zip(COLUMNS, row_of(entry), strict=True))


def entry_as_text(entry: Entry) -> str:
    """The entry as JSON, for the one column of a flight's row."""
    return json.dumps(_columns_of(entry))


def entry_from_text(text: str) -> Entry:
    """The entry that `entry_as_text` wrote. Raises DamagedRow."""
    try:
        values = list(json.loads(text).values())
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedRow(f"a row is none of ours: {error}") from error
    return entry_from(values)


def entry_from(row: Sequence[Any]) -> Entry:
    """The entry of values as from row_of(), and of its id if there is one more; raises DamagedRow."""
    try:
        return _entry_from(row)
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedRow(f"a row is none of ours: {error}") from error


def _entry_from(values: Sequence[Any]) -> Entry:
    row = as_written(values, _Row)
    _check_address(row.peer)
    return Entry(
        key=row.key,
        head=Head(row.status, row.reason, Headers(_FIELDS_FROM_TEXT.decode(row.headers))),
        request_time=row.request_time,
        response_time=row.response_time,
        vary=_vary_from(row.vary, row.variant) if row.vary else (),
        digest=row.digest,
        size=row.size,
        ttl=row.ttl,
        peer=row.peer,
        part=Part(row.first_pos, row.last_pos, row.complete_length) if row.first_pos >= 0 else None,
        groups=_NAMES_FROM_TEXT.decode(row.groups) if row.groups else (),
        search=row.search or "",
        is_proven=bool(row.proven & 1),
        is_disputed=bool(row.proven & 2),
        id=row.id,
    )


@lru_cache(1024)
def _check_address(peer: str) -> None:
    """Raise ValueError where it is neither an IP address nor ""."""
    if peer:
        ip_address(peer)


def _vary_from(names: str, values: str) -> tuple[tuple[str, str | None], ...]:
    return tuple(zip(names_from(names), _VALUES_FROM_TEXT.decode(values), strict=True))


def names_from(text: str) -> tuple[str, ...]:
    """The field names of a Vary set out of their column. Raises DamagedRow."""
    try:
        return _NAMES_FROM_TEXT.decode(text) if text else ()
    except (ValueError, TypeError) as error:
        raise DamagedRow(f"a row is none of ours: {error}") from error


def variant_text(vary: Sequence[tuple[str, str | None]]) -> str:
    """The values of a Vary set as their column has them."""
    return _text_of([value for _name, value in vary])


def _text_of(items: Sequence[str | None]) -> str:
    """Names or values in one column, whatever is in them; empty without any."""
    return json.dumps(items) if items else ""


def insert_entry(
    db: sqlite3.Connection,
    entry: Entry,
    now: float,
    content: bytes | None = None,
    *,
    is_first: bool = False,
) -> int:
    """Put an entry and its blob's row in place (in the caller's transaction); gives the entry's id.

    `content` is the body where it has no file; it takes the place of what was there, which may be damaged.
    The newest wins: a whole response takes the place of all parts of its variant, a part that of the
    parts within it. Of further parts, and of further rows of the key, the least recently used go.
    `is_first`: nothing was ever stored under the key.
    """
    row = row_of(entry)
    variant = row[:3]
    bounds = (entry.part.start, entry.part.end) if entry.part is not None else (0, _NO_END)
    uses = 0
    if not is_first:
        db.execute(f"DELETE FROM {_COVERED}", (*variant, *bounds, *bounds))
        uses = uses_of_ghost(db, row[: len(_IDENTITY)])
    size = entry.size + len(row[_HEADERS])
    (id,) = db.execute(_PUT, (*row, now, uses, uses, size)).fetchone()
    _put_blob(db, entry, id, content)
    if entry.groups:
        _file_groups(db, id, entry)
    if entry.part is not None:
        _drop_least_used(db, f"{_PARTS} AND id != ?", (*variant, id), _MOST_PARTS - 1)
    if id % _ROWS_A_CHECK == 0:
        _drop_least_used(db, f"{_OF_KEY} AND id != ?", (entry.key, id), _MOST_OF_KEY - 1)
    return int(id)


def _put_blob(db: sqlite3.Connection, entry: Entry, id: int, content: bytes | None) -> None:
    """Put the row of the entry's body in place, which names the entry."""
    place = None
    if content is not None:
        put = db.execute(_PUT_CONTENT, (entry.digest, content))
        if put.rowcount:
            place = put.lastrowid
        else:
            db.execute(_RENEW_CONTENT, (entry.digest, content))
    (only,) = db.execute(_PUT_BLOB, (entry.digest, entry.size, id, place)).fetchone()
    if only is None:
        db.execute(_SHARE, (entry.digest, id))


def _drop_least_used(db: sqlite3.Connection, rows: str, values: Sequence[Any], most: int) -> None:
    db.execute(
        "DELETE FROM entries WHERE id IN"
        f" (SELECT id FROM {rows} ORDER BY accessed DESC, id DESC LIMIT -1 OFFSET ?)",
        (*values, most),
    )


def update_entry(db: sqlite3.Connection, entry: Entry) -> bool:
    """Give an entry another head and other times; False when its row is gone or has another body."""
    changed = db.execute(_FRESHEN, {**_columns_of(entry), "id": entry.id}).rowcount == 1
    if changed and entry.groups:
        _file_groups(db, entry.id, entry)
    return changed


def _file_groups(db: sqlite3.Connection, id: int, entry: Entry) -> None:
    """Have the entry found by its cache groups, which are its origin's own (RFC 9875 section 2)."""
    origin = origin_of(entry.key)
    db.executemany(
        "INSERT OR IGNORE INTO entry_groups VALUES (?, ?, ?)", [(name, origin, id) for name in entry.groups]
    )
