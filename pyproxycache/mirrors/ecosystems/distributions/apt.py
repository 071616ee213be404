"""Debian packages: a Release names indexes, and these name packages and sources, each by their digests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.document_readers import DocumentReader, passed_on
from pyproxycache.mirrors.documents.stanzas import (
    ClearSigned,
    ListedFile,
    Stanzas,
    field_pattern,
    fields_of,
    listed_files,
)
from pyproxycache.mirrors.documents.unpacked import Unpacked
from pyproxycache.mirrors.ecosystem import (
    DAY,
    IMMUTABLE,
    NO_PAGE,
    ByDigest,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    Read,
    Together,
    index,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.relative_names import as_apt_asks, as_path, folder_of, is_relative
from pyproxycache.mirrors.stated_digests import stated_digests
from pyproxycache.rules.policy import Policy

# A package may be built anew under its name, and the index that says so may not have been read.
_FILES = Policy(fresh=DAY, stale_if_error=30 * DAY)
# A snapshot is asked for anew each time; it is not 0, as what has no validator could not be stored then.
_SNAPSHOT = index(5)

_MOST_LISTED = 100_000
_BY_HASH = {"sha-256": "SHA256", "sha-512": "SHA512"}
_OF_FIELD = re.compile(r"checksums-|-(?:download|patches)$")

_ACQUIRE_BY_HASH = field_pattern("Acquire-By-Hash")
_OF_PACKAGE = field_pattern("Package", "Version", "Filename", "SHA512", "SHA256", "SHA1", "MD5sum")
_OF_SOURCE = field_pattern("Package", "Version", "Directory")


def _given_on(make: Callable[[DocumentReading], DocumentReader]) -> Read:
    def read(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
        return passed_on(pieces, make(reading))

    return read


def _release(reading: DocumentReading) -> DocumentReader:
    """Reads a Release or InRelease: the indexes, by their names and by their digests."""
    folder = folder_of(reading.url)

    def take(stanza: bytes) -> None:
        has_by_hash = fields_of(stanza, _ACQUIRE_BY_HASH).get("acquire-by-hash", "").lower() == "yes"
        for name, stated in _by_name(listed_files(stanza, "SHA512", "SHA256", "SHA1", "MD5Sum")):
            digests = stated_digests("Release", stated)
            _name(reading, folder, NamedFile(name, digests))
            beside = name[: name.rfind("/") + 1]
            for one in digests if has_by_hash else ():
                if one.algorithm in _BY_HASH:
                    by_hash = f"{beside}by-hash/{_BY_HASH[one.algorithm]}/{one.digest}"
                    _name(reading, folder, NamedFile(by_hash, digests))

    return ClearSigned(take)


def _packages(reading: DocumentReading) -> DocumentReader:
    """Reads Packages: a stanza for each package."""

    def take(stanza: bytes) -> None:
        told = fields_of(stanza, _OF_PACKAGE)
        path = told.get("filename", "")
        digests = stated_digests("Packages", told.items())
        file = NamedFile(path, digests, told.get("package", ""), told.get("version", ""))
        _name(reading, _archive(reading.url, path), file)

    return Unpacked(Stanzas(take))


def _sources(reading: DocumentReading) -> DocumentReader:
    """Reads Sources: a stanza for each source, with all its files."""

    def take(stanza: bytes) -> None:
        told = fields_of(stanza, _OF_SOURCE)
        folder = told.get("directory", "").rstrip("/")
        lists = ("Checksums-Sha512", "Checksums-Sha256", "Checksums-Sha1", "Files")
        for name, stated in _by_name(listed_files(stanza, *lists)):
            path = f"{folder}/{name}" if folder else name
            digests = stated_digests("Sources", stated)
            file = NamedFile(path, digests, told.get("package", ""), told.get("version", ""))
            _name(reading, _archive(reading.url, path), file)

    return Unpacked(Stanzas(take))


def _differences(reading: DocumentReading) -> DocumentReader:
    """Reads the Index of a folder of pdiffs, which lead from older indexes to the newest one."""

    def take(stanza: bytes) -> None:
        lists = ("SHA256-Download", "SHA256-Patches", "SHA1-Download", "SHA1-Patches")
        folder = folder_of(reading.url).partition("by-hash/")[0]
        for name, stated in _by_name(listed_files(stanza, *lists)):
            _name(reading, folder, NamedFile(name, stated_digests("Index of pdiffs", stated)))

    return ClearSigned(take)


def _by_name(listed: Iterable[ListedFile]) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    """Each file's name, and pairs of algorithm and digest out of all lists."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in listed:
        field = _OF_FIELD.sub("", one.field)
        found.setdefault(one.name, []).append(("md5" if field == "files" else field, one.digest))
        if len(found) > _MOST_LISTED:
            raise DocumentError(f"it lists more than {_MOST_LISTED} files")
    return found.items()


def _name(reading: DocumentReading, base: str, file: NamedFile) -> None:
    """Tell of a file whose `url` is a path below the base, by each URL that clients ask for it by."""
    if not file.digests or not is_relative(file.url):
        return
    for path in dict.fromkeys((as_path(file.url), as_apt_asks(file.url))):
        reading.is_shown(NamedFile(base + path, file.digests, file.package, file.version))


def _archive(url: str, path: str) -> str:
    """The URL of the archive in which an index names a path: what is above dists/.

    One without dists/ is flat; it is where the index is, or above it by as much as the path says.
    """
    above, dists, _ = url.partition("?")[0].rpartition("/dists/")
    if dists:
        return f"{above}/"
    folder, below = folder_of(url), path[: path.rfind("/") + 1]
    return folder[: -len(below)] if below and folder.endswith(f"/{below}") else folder


def _by_hash(path: str, digests: Mapping[str, str]) -> str | None:
    """Where an archive has an index by the digest that apt would choose, too."""
    folder = path[: path.rfind("/") + 1]
    names = ((_BY_HASH[one], digests[one]) for one in ("sha-512", "sha-256") if one in digests)
    return next((f"{folder}by-hash/{name}/{digest}" for name, digest in names), None)


def _document(path: str, make: Callable[[DocumentReading], DocumentReader]) -> Document:
    return Document(re.compile(rf"(?:.*/)?(?:{path})$"), NO_PAGE, _given_on(make), has_links=False)


_PACKED = r"(?:\.(?:gz|xz|bz2|zst))?"
_BY_DIGEST = "by-hash/[^/]+/[0-9a-f]{32,128}"

APT = Ecosystem(
    "apt",
    rules=(
        PathRule(
            re.compile(
                r"(?:.*/)?by-hash/(?:MD5Sum/[0-9a-f]{32}|SHA1/[0-9a-f]{40}|SHA256/[0-9a-f]{64}|SHA512/[0-9a-f]{128})$"
            ),
            IMMUTABLE,
        ),
        PathRule(re.compile(r"(?:.*/)?pool/"), _FILES),
        PathRule(re.compile(r".*\.(?:u?deb|ddeb|dsc)$"), _FILES),
        PathRule(re.compile(r"(?:.*/)?dists/"), _SNAPSHOT),
        # Archives without dists/ have some of these in any folder.
        PathRule(re.compile(r"(?:.*/)?(?:InRelease|Release|Release\.gpg)$"), _SNAPSHOT),
        PathRule(
            re.compile(r"(?:.*/)?(?:Packages|Sources|Contents|Translation)[^/]*(?:/Index)?$"), _SNAPSHOT
        ),
    ),
    documents=(
        _document("InRelease|Release", _release),
        _document(f"Packages{_PACKED}|binary-[^/]+/{_BY_DIGEST}", _packages),
        _document(f"Sources{_PACKED}|source/{_BY_DIGEST}", _sources),
        _document(rf"[^/]+\.diff/(?:Index|{_BY_DIGEST})", _differences),
    ),
    # InRelease has its signature in itself.
    together=(Together(re.compile(r"(?P<of>(?:.*/)?Release)(?:\.gpg)?$"), ("", ".gpg")),),
    by_digest=ByDigest(re.compile(r"(?:.*/)?dists/(?!.*/by-hash/)"), _by_hash),
)
