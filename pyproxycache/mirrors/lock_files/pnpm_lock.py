"""pnpm-lock.yaml, line by line: of YAML only what pnpm writes, so nothing in it can expand."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pyproxycache.mirrors.digest_texts import digests_of_integrity
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList, is_web

_PACKAGE = re.compile(r"  (?:'([^']+)'|\"([^\"]+)\"|([^\s'\"{\[&*!|>][^{}&*]*?)):\s*")
# /name/1.0.0_peer (before 6), /name@1.0.0(peer@1) (6), name@1.0.0 (9).
_NAME = re.compile(r"/?((?:@[^/@]+/)?[^/@]+)[@/](\d[^(_]*)(?:[(_].*)?")
_PART = re.compile(r"\b(integrity|tarball|version|name): *(?:'([^']*)'|\"([^\"]*)\"|([^\s,{}]+))")
_LOCKFILE_VERSION = re.compile(r"lockfileVersion: *['\"]?([0-9.]+)['\"]?\s*")


def read_pnpm(text: str) -> LockList:
    """What it names; raises LockFileError."""
    gathering = Gathering()
    section, key, inside = "", "", ""
    fields: dict[str, str] = {}
    begun = 0
    version = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line.startswith(" "):
            _add(gathering, key, fields, begun)
            key = ""
            if found := _LOCKFILE_VERSION.fullmatch(line):
                version = found[1]
            section = line.partition(":")[0]
        elif section == "packages" and not line.startswith("   "):
            _add(gathering, key, fields, begun)
            name = _PACKAGE.fullmatch(line.rstrip())
            if name is None:
                raise LockFileError(f"{line.strip()[:100]!r} is no package as pnpm writes it", number)
            key, fields, inside, begun = name[1] or name[2] or name[3], {}, "", number
        elif section == "packages":
            if line.startswith("    ") and line[4] != " ":
                inside = line.strip().partition(":")[0]
            if inside in ("resolution", "name", "version"):
                for part in _PART.finditer(line):
                    fields.setdefault(part[1], part[2] or part[3] or part[4] or "")
    _add(gathering, key, fields, begun)
    if version is None:
        raise LockFileError("it has no lockfileVersion")
    if version.partition(".")[0] not in ("5", "6", "9"):
        raise LockFileError(f"lockfileVersion {version[:20]} is not known: 5, 6 and 9 are")
    return gathering.result()


def _add(gathering: Gathering, key: str, fields: dict[str, str], line: int) -> None:
    if not key:
        return
    url = fields.get("tarball", "")
    named = _NAME.fullmatch(key)
    name = fields.get("name") or (named[1] if named else key.rpartition("@")[0] or key)
    version = fields.get("version") or (named[2] if named else "")
    if url and not is_web(url):
        gathering.leave_out(name, f"{url[:200]!r} is no URL")
    elif url or (named and "integrity" in fields):
        digests = digests_of_integrity(fields.get("integrity", ""))
        gathering.add(Locked("npm", name, version, url, urlsplit(url).path.rpartition("/")[2], digests))
    elif "integrity" in fields:
        raise LockFileError(f"{key[:100]!r} tells no name and version", line)
    else:
        gathering.leave_out(name, "its source is no archive")
