"""Python's lock files in TOML: uv.lock, poetry.lock, pylock.toml (PEP 751)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from pyproxycache.mirrors.digest_texts import digest_of
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList, is_web
from pyproxycache.mirrors.lock_files.tables import items_of, table_of, text_of, toml_document
from pyproxycache.mirrors.python_names import python_name
from pyproxycache.rules.digests import ExpectedDigest


def read_uv(text: str) -> LockList:
    """What uv.lock names: for each package its source archive and its wheels, with their URLs."""
    document = toml_document(text)
    if document.get("version") != 1:
        raise LockFileError(f"version {document.get('version')!r} of uv.lock is not known: 1 is")
    gathering = Gathering()
    for package in items_of(document, "package"):
        name, version = python_name(text_of(package, "name")), text_of(package, "version")
        source = table_of(package, "source")
        files = [table_of(package, "sdist"), *items_of(package, "wheels")]
        if any(kind in source for kind in ("editable", "virtual", "directory", "path")):
            continue  # the project itself
        if "git" in source:
            gathering.leave_out(name, "its source is a git repository")
            continue
        for file in filter(None, files):
            url = text_of(file, "url") or text_of(source, "url")
            _add(
                gathering,
                name,
                version,
                url,
                digest_of(text_of(file, "hash"), "hash"),
                text_of(file, "path"),
            )
    return gathering.result()


def read_poetry(text: str) -> LockList:
    """What poetry.lock names: files by their names, without URLs."""
    document = toml_document(text)
    before = table_of(table_of(document, "metadata"), "files")
    gathering = Gathering()
    for package in items_of(document, "package"):
        name, version = python_name(text_of(package, "name")), text_of(package, "version")
        source = table_of(package, "source")
        if text_of(source, "type") in ("git", "directory", "file"):
            gathering.leave_out(name, f"its source is a {text_of(source, 'type')}")
            continue
        files = items_of(package, "files") or items_of(before, text_of(package, "name"))
        if not files:
            gathering.add(Locked("pypi", name, version))
        url = text_of(source, "url") if text_of(source, "type") == "url" else ""
        if url and not is_web(url):
            gathering.leave_out(name, f"{url[:200]!r} is no URL")
            continue
        for file in files:
            digests = digest_of(text_of(file, "hash"), "hash")
            gathering.add(Locked("pypi", name, version, url, text_of(file, "file"), digests))
    return gathering.result()


def read_pylock(text: str) -> LockList:
    """What pylock.toml names (PEP 751): archives, source archives and wheels."""
    document = toml_document(text)
    if not text_of(document, "lock-version").startswith("1."):
        raise LockFileError(f"lock-version {document.get('lock-version')!r} is not known: 1.0 is")
    gathering = Gathering()
    for package in items_of(document, "packages"):
        name, version = python_name(text_of(package, "name")), text_of(package, "version")
        if "vcs" in package:
            gathering.leave_out(name, "its source is a repository")
        for file in (
            table_of(package, "archive"),
            table_of(package, "sdist"),
            *items_of(package, "wheels"),
        ):
            if file:
                _add(
                    gathering,
                    name,
                    version,
                    text_of(file, "url"),
                    _hashes(file),
                    text_of(file, "path"),
                    file,
                )
    return gathering.result()


def _hashes(file: dict[str, Any]) -> tuple[ExpectedDigest, ...]:
    hashes = table_of(file, "hashes")
    return tuple(
        found for name in sorted(hashes) for found in digest_of(f"{name}:{hashes[name]}", "hashes")
    )


def _add(
    gathering: Gathering,
    name: str,
    version: str,
    url: str,
    digests: tuple[ExpectedDigest, ...],
    path: str,
    file: dict[str, Any] | None = None,
) -> None:
    stated = text_of(file, "name")
    if is_web(url):
        url = url.partition("#")[0]
        file_name = stated or unquote(urlsplit(url).path.rpartition("/")[2])
        gathering.add(Locked("pypi", name, version, url, file_name, digests))
    elif stated and not path and not url:
        gathering.add(Locked("pypi", name, version, "", stated, digests))
    else:
        gathering.leave_out(name, f"{(path or url)[:200]!r} is no URL")
