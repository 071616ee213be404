"""Cargo.lock, in its versions 1 to 4."""

from __future__ import annotations

import re

from pyproxycache.mirrors.digest_texts import digest_of
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockList
from pyproxycache.mirrors.lock_files.tables import items_of, table_of, text_of, toml_document

# Checksums of version 1: checksum NAME VERSION (SOURCE).
_CHECKSUM = re.compile(r"checksum (\S+) (\S+) \(.*\)")


def read_cargo(text: str) -> LockList:
    """The crates of registries that it names; raises LockFileError."""
    document = toml_document(text)
    before = {}
    for key, value in table_of(document, "metadata").items():
        if found := _CHECKSUM.fullmatch(key):
            before[found[1], found[2]] = str(value)
    gathering = Gathering()
    for package in items_of(document, "package"):
        name, version, source = (text_of(package, key) for key in ("name", "version", "source"))
        if source.startswith(("registry+", "sparse+")):
            checksum = text_of(package, "checksum") or before.get((name, version), "")
            digests = digest_of(f"sha256:{checksum}", "checksum")
            gathering.add(Locked("cargo", name, version, file=f"{name}-{version}.crate", digests=digests))
        elif source:
            gathering.leave_out(name, "its source is no registry")
    return gathering.result()
