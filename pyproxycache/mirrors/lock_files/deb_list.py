"""Packages of Debian: lines of `apt-get --print-uris`, or a URL a line."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from pyproxycache.mirrors.digest_texts import digest_of
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList, is_web

_OF_APT = re.compile(r"'([^']+)' (\S+) \d+(?: (\S*))?\s*")
_PARTS = re.compile(r"([^_]+)_([^_]+)_[^_]+\.u?deb")


def read_debs(text: str) -> LockList:
    """The packages that it names; raises LockFileError with the line."""
    gathering = Gathering()
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        of_apt = _OF_APT.fullmatch(bare)
        url = of_apt[1] if of_apt else bare
        if not is_web(url) or re.search(r"\s", url):
            raise LockFileError(
                f"{bare[:100]!r} is neither a URL nor a line of apt-get --print-uris", number
            )
        file = unquote(urlsplit(url).path.rpartition("/")[2])
        parts = _PARTS.fullmatch(file)
        stated = (of_apt[3] or "") if of_apt else ""
        digests = digest_of(re.sub(r"^MD5Sum:", "md5:", stated), "--print-uris")
        name, version = (parts[1], parts[2].replace("%3a", ":")) if parts else (file, "")
        gathering.add(Locked("apt", name, version, url, file, digests))
    return gathering.result()
