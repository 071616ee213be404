"""How what lock files name is found: in documents by what these say, in the store by the ends of URLs."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from pyproxycache.mirrors.digest_texts import strongest
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.ecosystems.go import without_capitals
from pyproxycache.mirrors.ecosystems.oci import repository_of_image
from pyproxycache.mirrors.lock_files.locked import Locked
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.python_names import python_name
from pyproxycache.mirrors.python_versions import python_version

METADATA = ".metadata"
"""What the names of files that describe packages of Python have behind those of the packages."""

_PYTHON_ARCHIVE = re.compile(r"\.(?:whl|tar\.gz|zip|tar\.bz2)$")


def is_locked(file: NamedFile, one: Locked) -> bool:
    """Whether a file that a document of the package names is the locked one."""
    if file.url.endswith(METADATA):
        return False
    if one.ecosystem == "pypi":
        if one.file:
            return unquote(urlsplit(file.url).path.rpartition("/")[2]) == one.file
        wanted = {digest.digest for digest in strongest(one.digests)}
        if wanted:
            return any(digest.digest in wanted for digest in file.digests)
        return _python_version(file.version) == _python_version(one.version)
    return file.version == one.version


def _python_version(text: str) -> str:
    """The version in normal form, also if it is part of a file's name; what is none stays as it is."""
    text = text.replace("_", "-")
    return python_version(text) or text


def place_of_clients(one: Locked) -> str:
    """The path by which clients of a mirror ask for a file whose URL has another host, "" if by none."""
    path = f"{one.name}/-/{one.file}"
    return path if one.ecosystem == "npm" and unquote(urlsplit(one.url).path).endswith(f"/{path}") else ""


def module_files(one: Locked) -> dict[str, str]:
    """A Go module's file, and what is said of it if clients want that with it: paths by names."""
    names = (one.file, f"{one.version}.info") if one.file.endswith(".zip") else (one.file,)
    return {name: without_capitals(f"{one.name}/@v/{name}") for name in names}


def image_reference(one: Locked) -> str:
    """What the image's manifest is asked by: its digest if that is told, else its tag."""
    if not one.digests:
        return one.version
    return f"{one.digests[0].algorithm.replace('-', '')}:{one.digests[0].digest}"


def ends_of_files(one: Locked) -> tuple[str, ...]:
    """The ends of paths, below whatever leads there, that tell the package and its version."""
    match one.ecosystem:
        case "npm" if one.version:
            bare = one.name.rpartition("/")[2]
            return (f"{one.name}/-/{bare}-{one.version}.tgz".lower(),)
        case "pypi" if one.file:
            return (one.file, one.file.lower())
        case "cargo":
            return (one.file.lower(), f"{one.name}/{one.version}/download".lower())
        case "oci":
            return (f"{repository_of_image(one.name)}/manifests/{image_reference(one)}".lower(),)
        case "go":
            return tuple(module_files(one).values())
    return ()


def ends_of_indexes(one: Locked) -> frozenset[str]:
    """The ends of the paths of documents that name it, however they are encoded, and of their keys."""
    ecosystem = ECOSYSTEMS[one.ecosystem]
    path = ecosystem.document_path(one.name)
    if path is None:
        return frozenset()
    return frozenset({path, unquote(path), path.replace("%2f", "%2F"), *ecosystem.keys_of(path)})


def beginning_of_archives(one: Locked) -> str:
    """How the names of a Python package's archives begin, in normal form, if nothing else tells them."""
    is_by_version = one.ecosystem == "pypi" and one.version and not one.file and not one.digests
    return python_name(f"{one.name}-{one.version}-") if is_by_version else ""


def archive_name(path: str) -> str:
    """The name in normal form of the Python archive at the path, "" if there is none."""
    return python_name(unquote(path.rpartition("/")[2])) if _PYTHON_ARCHIVE.search(path) else ""
