"""go.sum: modules, whose h1 digests are of their content and of no file."""

from __future__ import annotations

from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList

_OF_THE_FILE = "/go.mod"


def read_go_sum(text: str) -> LockList:
    """The archives and go.mod files that it names; raises LockFileError with the line."""
    gathering = Gathering()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 3 or not fields[1].startswith("v"):
            raise LockFileError(f"{line[:100]!r} is not a module, a version and a digest", number)
        module, version, _digest = fields
        kind = "mod" if version.endswith(_OF_THE_FILE) else "zip"
        version = version.removesuffix(_OF_THE_FILE)
        gathering.add(Locked("go", module, version, file=f"{version}.{kind}"))
    return gathering.result()
