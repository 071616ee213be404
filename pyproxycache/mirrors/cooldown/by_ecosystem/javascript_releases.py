"""Releases of JavaScript packages, by their full documents, which alone have times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from pyproxycache.mirrors.cooldown.admission import Naming
from pyproxycache.mirrors.cooldown.by_ecosystem.semantic_versions import newest
from pyproxycache.mirrors.cooldown.release_documents import (
    AboutReleases,
    ReleaseDocument,
    ReleaseDocuments,
    ShownForm,
)
from pyproxycache.mirrors.cooldown.releases import (
    MOST_FILES,
    ReleasedFile,
    Releases,
    ShownReleases,
    file_key,
    released_at,
)
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.json_items import JsonItem, with_items
from pyproxycache.mirrors.ecosystem import DocumentReading

FULL = "application/json"
ABBREVIATED = "application/vnd.npm.install-v1+json"

_PARTS = (("versions",), ("time",), ("dist-tags",))
# Names become part of a path: none leads upward.
_PART = r"[\w~!'()*-][\w.~!'()*-]*"
_NAME = rf"(?:@{_PART}/)?{_PART}"
_PACKAGE = re.compile(_NAME, re.ASCII)
_ARCHIVE = re.compile(rf"({_NAME})/-/([\w.~!'()*+-]+)\.tgz", re.ASCII)
_MANIFEST = re.compile(rf"({_NAME})/([\w.~+-]+)", re.ASCII)
_MOST_TAGS = 1000
_TIMES = ("created", "modified")
_INSTALLS = ("preinstall", "install", "postinstall")
# What npm's own registry leaves in abbreviated documents.
_ABBREVIATED_KEYS = (
    "name",
    "version",
    "deprecated",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "acceptDependencies",
    "bin",
    "directories",
    "dist",
    "engines",
    "os",
    "cpu",
    "libc",
    "funding",
    "_hasShrinkwrap",
    "hasInstallScript",
)


def _value(item: JsonItem) -> Any:
    try:
        return msgspec.json.decode(item.text)
    except msgspec.DecodeError as error:
        raise DocumentError(f"{item.path[0]} has what is no JSON: {error}") from None


def _releases(pieces: Iterable[bytes], reading: DocumentReading, package: str) -> Releases:
    archives: dict[str, str] = {}
    times: dict[str, float] = {}
    tags: dict[str, str] = {}

    def note(item: JsonItem) -> None:
        value, key = _value(item), item.key or ""
        if item.path == ("versions",):
            dist = value.get("dist") if isinstance(value, dict) else None
            url = dist.get("tarball") if isinstance(dist, dict) else None
            archives[key] = reading.absolute(url) if isinstance(url, str) else ""
        elif item.path == ("time",):
            released = released_at(value)
            if released is not None:
                # A key that stands twice is as young as it is anywhere.
                times[key] = max(released, times.get(key, released))
        elif isinstance(value, str):
            tags[key] = value
        if max(len(archives), len(times)) > MOST_FILES or len(tags) > _MOST_TAGS:
            raise DocumentError(f"it has more than {MOST_FILES} versions or {_MOST_TAGS} tags")

    for _ in with_items(pieces, _PARTS, note):
        pass
    files = [ReleasedFile(file_key(url), version, times.get(version)) for version, url in archives.items()]
    return Releases(package, tuple(files), tuple(tags.items()))


def _without(pieces: Iterable[bytes], _reading: DocumentReading, shown: ShownReleases) -> Iterator[bytes]:
    tags = dict(shown.tags)

    def kept(item: JsonItem) -> bytes | None:
        key = item.key or ""
        if item.path == ("dist-tags",):
            return msgspec.json.encode(tags[key]) if key in tags else None
        is_kept = key in shown.versions or (item.path == ("time",) and key in _TIMES)
        return item.text if is_kept else None

    return with_items(pieces, _PARTS, kept)


def _abbreviated(
    pieces: Iterable[bytes], _reading: DocumentReading, shown: ShownReleases
) -> Iterator[bytes]:
    """The document with what clients need to install, as npm's own registry has it."""
    end: dict[str, Any] = {"dist-tags": dict(shown.tags)}
    versions: list[bytes] = []
    is_first = True

    def note(item: JsonItem) -> bytes:
        key = item.key or ""
        is_time = item.path == ("time",) and key == "modified"
        value = _value(item) if is_time or key in shown.versions else None
        if is_time and isinstance(value, str):
            end["modified"] = value
        elif item.path == ("versions",) and isinstance(value, dict):
            kept = {name: value[name] for name in _ABBREVIATED_KEYS if name in value}
            scripts = value.get("scripts")
            if isinstance(scripts, dict) and any(name in scripts for name in _INSTALLS):
                kept["hasInstallScript"] = True
            versions.append(msgspec.json.encode(key) + b":" + msgspec.json.encode(kept))
        return b""  # not None: so that what is noted is given on item by item

    yield b'{"name":' + msgspec.json.encode(shown.package) + b',"versions":{'
    for _ in with_items(pieces, _PARTS[:2], note):
        if versions:
            yield (b"" if is_first else b",") + b",".join(versions)
            is_first = False
            versions.clear()
    if versions:
        yield (b"" if is_first else b",") + b",".join(versions)
    yield b"}," + msgspec.json.encode(end)[1:]


def _one(
    pieces: Iterable[bytes], reading: DocumentReading, _shown: ShownReleases, version: str
) -> Iterator[bytes]:
    """What the document says of one version."""
    found: list[bytes] = []

    def note(item: JsonItem) -> bytes:
        value = _value(item) if item.key == version and not found else None
        if isinstance(value, dict):
            dist = value.get("dist")
            if isinstance(dist, dict) and isinstance(dist.get("tarball"), str):
                url = reading.absolute(dist["tarball"])
                value["dist"] = {**dist, "tarball": reading.link(url)}
            found.append(msgspec.json.encode(value))
        return b""

    for _ in with_items(pieces, [("versions",)], note):
        pass
    if not found:
        raise DocumentError(f"it has no version {version}")
    yield found[0]


def _asked_at(path: str) -> tuple[str, str] | None:
    found = _MANIFEST.fullmatch(path)
    return (found[1], found[2]) if found else None


def _chosen(_releases: Releases, shown: ShownReleases, wanted: str) -> tuple[str, bool] | None:
    version = wanted if wanted in shown.versions else dict(shown.tags).get(wanted)
    return None if version is None else (version, False)


def _document_of(package: str) -> str:
    return package.replace("/", "%2f")


def _package_at(path: str) -> str:
    return path if _PACKAGE.fullmatch(path) and not path.startswith("-") else ""


def _packages_of(path: str) -> tuple[str, ...]:
    found = _ARCHIVE.fullmatch(path) or _MANIFEST.fullmatch(path)
    return (found[1],) if found else ()


def _version_at(path: str, package: str) -> str:
    if archive := _ARCHIVE.fullmatch(path):
        before = f"{package.rpartition('/')[2]}-"
        return archive[2].removeprefix(before) if archive[2].startswith(before) else ""
    manifest = _MANIFEST.fullmatch(path)
    return manifest[2] if manifest else ""


_same: Callable[[str], str] = str

JAVASCRIPT_RELEASES = ReleaseDocuments(
    naming=Naming(_same, _same),
    accept=FULL,
    documents=(
        ReleaseDocument(
            re.compile(re.escape(FULL)),
            _releases,
            (ShownForm(FULL, _without), ShownForm(ABBREVIATED, _abbreviated)),
        ),
    ),
    open_paths=re.compile(r"-/"),
    package_at=_package_at,
    paths_of=lambda package, _base: (_document_of(package),),
    packages_of=_packages_of,
    version_at=_version_at,
    beside=re.compile(r"(?!)"),
    newest=newest,
    about=AboutReleases(_asked_at, _chosen, lambda package, _version: _document_of(package), _one),
)
