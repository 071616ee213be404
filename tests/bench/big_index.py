"""Indexes of any number of entries, made quickly: rows as downloads leave them, and few bodies."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "store"))

from cachedir import CacheDir

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.store.index.rows import insert_entry
from pyproxycache.store.sqlite import priority

HOSTS = 10
_A_TRANSACTION = 10_000
_SPREAD = 86400.0 * 20  # less than the age at which what is unused goes
_WORDS = (
    "base",
    "core",
    "data",
    "dbg",
    "dev",
    "doc",
    "gui",
    "image",
    "java",
    "lib",
    "net",
    "perl",
    "utils",
    "x11",
)
# Nothing has to survive a crash here, and pages are not to be written twice.
_IN_A_HURRY = (
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -1000000",
    "PRAGMA wal_autocheckpoint = 20000",
)


def key(number: int) -> str:
    """About 95 characters; a tenth of all numbers on each host, in no order."""
    chance = random.Random(number)
    name = f"lib{chance.choice(_WORDS)}-{chance.choice(_WORDS)}{chance.randrange(10**6):06}"
    version = f"{chance.randrange(10)}.{chance.randrange(100)}.{number}-1"
    folder = f"http://mirror{number % HOSTS}.example/debian/pool/main/{name[3]}/{name}"
    return f"{folder}/{name}_{version}_amd64.deb"


def entry(number: int, now: float) -> Entry:
    """Ten header fields, fresh for a year; the body is the key."""
    name = key(number)
    headers = Headers(
        [
            ("Server", "Apache/2.4.62 (Debian)"),
            ("Date", formatdate(now, usegmt=True)),
            ("Last-Modified", "Sat, 01 Feb 2025 01:02:03 GMT"),
            ("ETag", f'"{number:x}-62d0a1b2c3d4e"'),
            ("Accept-Ranges", "bytes"),
            ("Content-Length", str(len(name))),
            ("Cache-Control", "public, max-age=31536000"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Type", "application/vnd.debian.binary-package"),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
        ]
    )
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Entry(name, Head(200, "OK", headers), now, now, digest=digest, size=len(name), peer="192.0.2.1")


def grow(cache: CacheDir, numbers: range) -> None:
    """Put these entries into the index, without bodies."""
    connection = sqlite3.connect(cache.database.path, isolation_level=None)
    for pragma in _IN_A_HURRY:
        connection.execute(pragma)
    priority.teach(connection)
    now = time.time()
    for batch in _batches(numbers):
        connection.execute("BEGIN IMMEDIATE")
        for number in batch:
            insert_entry(connection, entry(number, now), now - random.Random(-number).random() * _SPREAD)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def add_bodies(cache: CacheDir, numbers: list[int]) -> None:
    """Put the bodies of these entries in their places."""
    for number in numbers:
        name = key(number).encode()
        path = cache.blobs.path(hashlib.sha256(name).hexdigest())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name)


def copy(cache: CacheDir, folder: Path) -> CacheDir:
    """The same entries in another folder, without bodies."""
    folder.mkdir()
    cache.database.close()
    shutil.copyfile(cache.database.path, folder / cache.database.path.name)
    return CacheDir(folder)


def _batches(numbers: range) -> Iterator[range]:
    for start in range(0, len(numbers), _A_TRANSACTION):
        yield numbers[start : start + _A_TRANSACTION]
