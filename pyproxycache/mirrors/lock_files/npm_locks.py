"""npm's package-lock.json and npm-shrinkwrap.json, in their versions 1 to 3."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pyproxycache.mirrors.digest_texts import digests_of_integrity
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList, is_web
from pyproxycache.mirrors.lock_files.tables import json_document, table_of, text_of

_FOLDER = "node_modules/"


def read_npm(text: str) -> LockList:
    """What it names; packages without a URL are those of the registry. Raises LockFileError."""
    document = json_document(text)
    version = document.get("lockfileVersion", 1)
    if version not in (1, 2, 3):
        raise LockFileError(f"lockfileVersion {version!r} is not known: 1, 2 and 3 are")
    gathering = Gathering()
    if version == 1:
        _read_nested(gathering, document)
    else:
        for path, package in table_of(document, "packages").items():
            if _FOLDER in path and isinstance(package, dict) and not package.get("link"):
                name = text_of(package, "name") or path.rpartition(_FOLDER)[2]
                _add(gathering, name, text_of(package, "version"), package)
    return gathering.result()


def _read_nested(gathering: Gathering, document: dict[str, Any]) -> None:
    """Packages of version 1, each of which may have some of its own."""
    rest = [document]
    while rest:
        for name, package in table_of(rest.pop(), "dependencies").items():
            if isinstance(package, dict):
                rest.append(package)
                version = text_of(package, "version")
                if version.startswith("npm:"):  # under another name than its own
                    name, _, version = version.removeprefix("npm:").rpartition("@")
                elif ":" in version:  # where it is stands in place of a version
                    package = {**package, "resolved": version}
                _add(gathering, name, version, package)


def _add(gathering: Gathering, name: str, version: str, package: dict[str, Any]) -> None:
    resolved = text_of(package, "resolved")
    if package.get("inBundle") or package.get("bundled"):
        return  # it lies in the archive of another one
    if resolved and not is_web(resolved):
        gathering.leave_out(name, f"{resolved[:200]!r} is no URL")
        return
    if not version and not resolved:
        return
    url = resolved.partition("#")[0]
    file = urlsplit(url).path.rpartition("/")[2]
    digests = digests_of_integrity(text_of(package, "integrity"))
    gathering.add(Locked("npm", name, "" if is_web(version) else version, url, file, digests))
