"""yarn.lock as yarn 1 writes it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pyproxycache.mirrors.digest_texts import digest_of, digests_of_integrity
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList, is_web

_HEAD = re.compile(r'"?((?:@[^@/"]+/)?[^@"]+)@.*:')
_FIELD = re.compile(r'  (version|resolved|integrity) "?([^"]*)"?')
_ALIAS = re.compile(r"npm:((?:@[^@/\"]+/)?[^@\",]+)@")


def read_yarn(text: str) -> LockList:
    """What it names; raises LockFileError."""
    gathering = Gathering()
    name, fields, begun = "", dict[str, str](), 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("__metadata:"):
            raise LockFileError("it is one of yarn 2 or later, whose checksums are of no file", number)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith(" "):
            if field := _FIELD.fullmatch(line.rstrip()):
                fields[field[1]] = field[2]
            continue
        _add(gathering, name, fields, begun)
        head = _HEAD.fullmatch(line.rstrip())
        if head is None:
            raise LockFileError(f"{line[:100]!r} does not begin a package", number)
        alias = _ALIAS.search(line)
        name, fields, begun = (alias or head)[1], {}, number
    _add(gathering, name, fields, begun)
    return gathering.result()


def _add(gathering: Gathering, name: str, fields: dict[str, str], line: int) -> None:
    if not name:
        return
    if not fields.get("version"):
        raise LockFileError(f"{name[:100]!r} has no version", line)
    resolved, _, fragment = fields.get("resolved", "").partition("#")
    if resolved and (not is_web(resolved) or urlsplit(resolved).path.endswith(".git")):
        gathering.leave_out(name, f"{resolved[:200]!r} is no archive")
        return
    if not resolved and "integrity" not in fields:
        return  # a package of the project itself
    digests = digests_of_integrity(fields.get("integrity", "")) or digest_of(f"sha1:{fragment}", "resolved")
    file = urlsplit(resolved).path.rpartition("/")[2]
    gathering.add(Locked("npm", name, fields["version"], resolved, file, digests))
