"""Releases of Rust crates, by the times in the sparse index (`pubtime`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyproxycache.mirrors.cooldown.admission import Naming
from pyproxycache.mirrors.cooldown.release_documents import ReleaseDocument, ReleaseDocuments, ShownForm
from pyproxycache.mirrors.cooldown.releases import (
    MOST_FILES,
    ReleasedFile,
    Releases,
    ShownReleases,
    file_key,
    released_at,
)
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.lines import with_lines
from pyproxycache.mirrors.ecosystem import DocumentReading
from pyproxycache.mirrors.ecosystems.cargo import (
    CARGO,
    CrateConfig,
    decoded,
    download_url,
    read_line,
)

_NAME = r"[A-Za-z0-9_-]{1,64}"
_VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]*)?"
_DOCUMENT = re.compile(rf"(?:1/[^/]|2/[^/]{{2}}|3/[^/]/[^/]{{3}}|[^/]{{2}}/[^/]{{2}}/({_NAME}))", re.ASCII)
# The three forms that places of crates have: the first is that of a `dl` without markers.
_FILES = (
    re.compile(rf"(?:.*/)?({_NAME})/({_VERSION})(?:/download)?", re.ASCII),
    re.compile(rf"(?:.*/)?({_NAME})-({_VERSION})\.crate", re.ASCII),
)


def _releases(pieces: Iterable[bytes], reading: DocumentReading, package: str) -> Releases:
    config = decoded(reading.key, CrateConfig)
    if config is None:
        raise DocumentError("its registry's config.json does not say where crates are")
    files: list[ReleasedFile] = []

    def note(line: bytes) -> bool:
        if told := read_line(line, package):
            key = file_key(download_url(config.dl, told))
            files.append(ReleasedFile(key, told.vers, released_at(told.pubtime)))
            if len(files) > MOST_FILES:
                raise DocumentError(f"it has more than {MOST_FILES} versions")
        return False

    for _ in with_lines(pieces, note):
        pass
    return Releases(package, tuple(files))


def _without(pieces: Iterable[bytes], reading: DocumentReading, shown: ShownReleases) -> Iterator[bytes]:
    config = decoded(reading.key, CrateConfig)

    def is_shown(line: bytes) -> bool:
        told = read_line(line, shown.package)
        if config is None or told is None:
            return False
        return file_key(download_url(config.dl, told)) in shown.files

    return with_lines(pieces, is_shown)


def crate_name(text: str) -> str:
    """The name in one form for all that registries take for one."""
    return text.lower().replace("-", "_")


def crate_version(text: str) -> str:
    """The version without what is said of its build, which does not tell versions apart."""
    return text.partition("+")[0]


def _package_at(path: str) -> str:
    found = _DOCUMENT.fullmatch(path)
    name = path.rpartition("/")[2] if found else ""
    is_there = re.fullmatch(_NAME, name, re.ASCII) and (path,) == _paths_of(name, "")
    return name if is_there else ""


def _paths_of(package: str, _base: str) -> tuple[str, ...]:
    return (CARGO.document_path(package) or "",)


def _found(path: str) -> re.Match[str] | None:
    return next((found for one in _FILES if (found := one.fullmatch(path))), None)


def _packages_of(path: str) -> tuple[str, ...]:
    found = _found(path)
    return (found[1],) if found else ()


RUST_RELEASES = ReleaseDocuments(
    naming=Naming(crate_name, crate_version),
    accept="*/*",
    # Static hosts give such files all kinds of media types.
    documents=(ReleaseDocument(re.compile(r".*"), _releases, (ShownForm("", _without),)),),
    open_paths=re.compile(r"(?:config\.json|api/v1/crates/?|me/?)\Z"),
    package_at=_package_at,
    paths_of=_paths_of,
    packages_of=_packages_of,
    version_at=lambda _path, _package: "",
    beside=re.compile(r"(?!)"),
    newest=lambda _versions, _at_most: None,
    key="config.json",
)
