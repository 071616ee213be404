"""Releases of Python packages, by simple pages with upload times (PEP 700)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from pyproxycache.mirrors.cooldown.admission import Naming
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
from pyproxycache.mirrors.documents.html_anchors import Anchor, with_anchors
from pyproxycache.mirrors.documents.json_items import JsonItem, with_items
from pyproxycache.mirrors.ecosystem import DocumentReading
from pyproxycache.mirrors.python_names import python_name
from pyproxycache.mirrors.python_versions import newest, python_version

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"

_BESIDE = re.compile(r"\.(?:metadata|asc|provenance)\Z")
_BUILT = re.compile(r"(.+)\.(?:whl|egg)")
_SOURCE = re.compile(r"(.+)\.(?:tar\.gz|zip|tar\.bz2|tar\.xz|tgz)")
_PAGE = re.compile(r"(?:.*/)?simple/([^/]+)/?(?:index\.html)?|([^/]+)/")
# Names become part of a path (PEP 508).
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_ABOUT = re.compile(r"pypi/([^/]+)(?:/([^/]+))?/json")
_LONGEST_NAME = 400
_MOST_PACKAGES = 3


def splits(file_name: str) -> Iterator[tuple[str, str]]:
    """The packages, in normal form, and the versions that a file's name may mean."""
    if len(file_name) > _LONGEST_NAME:
        return
    if built := _BUILT.fullmatch(file_name):
        package, _, rest = built[1].partition("-")
        version = rest.partition("-")[0]
        if python_version(version) and _PACKAGE.fullmatch(package):
            yield python_name(package), version
    elif source := _SOURCE.fullmatch(file_name):
        parts = source[1].split("-")
        for count in range(1, len(parts)):
            package, version = "-".join(parts[:count]), "-".join(parts[count:])
            if python_version(version) and _PACKAGE.fullmatch(package):
                yield python_name(package), version


def _version_of(url: str, package: str) -> str:
    """The version of the package's file at the URL; "" if it is none of this package's."""
    from_name = splits(_decoded(url.partition("#")[0].partition("?")[0].rpartition("/")[2]))
    return next((version for name, version in from_name if name == package), "")


def _decoded(name: str) -> str:
    return re.sub("%([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), name)


def _packages_of(path: str) -> tuple[str, ...]:
    found = dict(splits(_BESIDE.sub("", path.rpartition("/")[2])))
    return tuple(found)[:_MOST_PACKAGES]


def _page_of(path: str) -> str:
    found = _PAGE.fullmatch(path)
    name = (found[1] or found[2]) if found else ""
    return python_name(name) if _PACKAGE.fullmatch(name) else ""


def _paths_of(package: str, base: str) -> tuple[str, ...]:
    # The URL of an upstream may be that of the index itself.
    page = f"{package}/"
    return (page,) if base.endswith("simple") else (f"simple/{page}", page)


def _file(item: JsonItem) -> dict[str, Any] | None:
    try:
        file = msgspec.json.decode(item.text)
    except msgspec.DecodeError as error:
        raise DocumentError(f"a file is described by what is no JSON: {error}") from None
    return file if isinstance(file, dict) and isinstance(file.get("url"), str) else None


def _releases(pieces: Iterable[bytes], reading: DocumentReading, package: str) -> Releases:
    files: list[ReleasedFile] = []

    def note(item: JsonItem) -> None:
        if (file := _file(item)) is not None:
            _add(files, reading.absolute(file["url"]), package, released_at(file.get("upload-time")))

    for _ in with_items(pieces, [("files",)], note):
        pass
    return Releases(package, tuple(files))


def _releases_in_html(pieces: Iterable[bytes], reading: DocumentReading, package: str) -> Releases:
    files: list[ReleasedFile] = []

    def note(anchor: Anchor) -> None:
        if href := anchor.attributes.get("href"):
            _add(files, reading.absolute(href, anchor.base), package, None)

    for _ in with_anchors(pieces, note):
        pass
    return Releases(package, tuple(files))


def _add(files: list[ReleasedFile], url: str, package: str, released: float | None) -> None:
    if len(files) >= MOST_FILES:
        raise DocumentError(f"it names more than {MOST_FILES} files")
    files.append(ReleasedFile(file_key(url), _version_of(url, package), released))


def _without(pieces: Iterable[bytes], reading: DocumentReading, shown: ShownReleases) -> Iterator[bytes]:
    def kept(item: JsonItem) -> bytes | None:
        if item.path == ("versions",):
            text = _text(item)
            version = None if text is None else python_version(text)
            return item.text if version in shown.versions else None
        file = _file(item)
        return item.text if file and file_key(reading.absolute(file["url"])) in shown.files else None

    return with_items(pieces, [("files",), ("versions",)], kept)


def _text(item: JsonItem) -> str | None:
    try:
        return msgspec.json.decode(item.text, type=str)
    except msgspec.DecodeError:
        return None


def _without_in_html(
    pieces: Iterable[bytes], reading: DocumentReading, shown: ShownReleases
) -> Iterator[bytes]:
    def kept(anchor: Anchor) -> str | None:
        href = anchor.attributes.get("href")
        is_shown = href is not None and file_key(reading.absolute(href, anchor.base)) in shown.files
        return anchor.text if is_shown else None

    return with_anchors(pieces, kept)


def _as_html(pieces: Iterable[bytes], reading: DocumentReading, shown: ShownReleases) -> Iterator[bytes]:
    """The page as HTML (PEP 503) with all that pages in JSON tell of files, too."""
    anchors: list[str] = []

    def note(item: JsonItem) -> bytes:
        file = _file(item)
        if file is not None and file_key(reading.absolute(file["url"])) in shown.files:
            anchors.append(_anchor(file))
        return b""  # not None: so that what is noted is given on item by item

    title = f"Links for {html.escape(shown.package)}"
    yield (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8">'
        '<meta name="pypi:repository-version" content="1.0">'
        f"<title>{title}</title></head>\n<body><h1>{title}</h1>\n"
    ).encode()
    for _ in with_items(pieces, [("files",)], note):
        yield "".join(anchors).encode("utf-8", "surrogateescape")
        anchors.clear()
    yield b"</body></html>\n"


def _anchor(file: dict[str, Any]) -> str:
    url, hashes = file["url"].partition("#")[0], file.get("hashes")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    attributes = {"href": f"{url}#sha256={digest}" if isinstance(digest, str) else url}
    if isinstance(file.get("requires-python"), str):
        attributes["data-requires-python"] = file["requires-python"]
    yanked = file.get("yanked")
    if yanked:
        attributes["data-yanked"] = yanked if isinstance(yanked, str) else ""
    metadata = file.get("core-metadata") or file.get("data-dist-info-metadata")
    if metadata:
        stated = metadata.get("sha256") if isinstance(metadata, dict) else None
        told = f"sha256={stated}" if isinstance(stated, str) else "true"
        attributes |= {"data-core-metadata": told, "data-dist-info-metadata": told}
    text = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    name = file.get("filename")
    shown = name if isinstance(name, str) else _decoded(url.rpartition("/")[2])
    return f"<a {text}>{html.escape(shown)}</a><br />\n"


def _asked_at(path: str) -> tuple[str, str] | None:
    found = _ABOUT.fullmatch(path)
    return (python_name(found[1]), found[2] or "") if found and _PACKAGE.fullmatch(found[1]) else None


def _chosen(releases: Releases, shown: ShownReleases, wanted: str) -> tuple[str, bool] | None:
    """The version as its files have it in their names."""
    given = {file.version for file in releases.files if file.key in shown.files}
    if wanted:
        same = (one for one in given if python_version(one) == python_version(wanted))
        return next(((one, False) for one in same), None)
    best, of_all = newest(given), newest({file.version for file in releases.files if file.version})
    if best is None or of_all is None:
        return None
    return best, python_version(best) == python_version(of_all)


def _about_path(package: str, version: str) -> str:
    return f"pypi/{package}/{quote(version)}/json" if version else f"pypi/{package}/json"


def _about_given(
    pieces: Iterable[bytes], reading: DocumentReading, shown: ShownReleases, _version: str
) -> Iterator[bytes]:
    """The document about a release, with files that are shown alone."""

    def linked(file: Any) -> Any:
        url = reading.absolute(file["url"]) if isinstance(file, dict) and "url" in file else ""
        return {**file, "url": reading.link(url)} if file_key(url) in shown.files else None

    def kept(item: JsonItem) -> bytes | None:
        value = item.value()
        if item.path == ("urls",):
            file = linked(value)
            return None if file is None else msgspec.json.encode(file)
        if python_version(item.key or "") not in shown.versions:
            return None
        files = filter(None, map(linked, value if isinstance(value, list) else ()))
        return msgspec.json.encode(list(files))

    return with_items(pieces, [("releases",), ("urls",)], kept)


PYTHON_RELEASES = ReleaseDocuments(
    naming=Naming(python_name, lambda text: python_version(text) or text.strip().lower()),
    accept=f"{JSON}, {HTML};q=0.2, text/html;q=0.1",
    documents=(
        ReleaseDocument(
            re.compile(re.escape(JSON)),
            _releases,
            (ShownForm("text/html", _as_html), ShownForm(HTML, _as_html), ShownForm(JSON, _without)),
        ),
        ReleaseDocument(
            re.compile(rf"text/html|{re.escape(HTML)}"),
            _releases_in_html,
            (ShownForm("text/html", _without_in_html),),
        ),
    ),
    open_paths=re.compile(r"(?:.*/)?simple/?\Z"),
    package_at=_page_of,
    paths_of=_paths_of,
    packages_of=_packages_of,
    version_at=lambda _path, _package: "",
    beside=_BESIDE,
    newest=lambda _versions, _at_most: None,
    about=AboutReleases(
        _asked_at,
        _chosen,
        _about_path,
        _about_given,
    ),
)
