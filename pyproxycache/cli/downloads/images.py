"""The manifests and blobs of an image, by a registry's own documents (OCI distribution)."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from pyproxycache.cli.downloads.downloading import Order
from pyproxycache.mirrors.digest_texts import digest_of
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystems.oci import repository_of_image
from pyproxycache.mirrors.lock_files.finding import image_reference
from pyproxycache.mirrors.lock_files.locked import Locked

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9._/-]*")
_MOST_PARTS = 1000
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# The cache asks for what it knows, whatever a client accepts.
_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*"


class _Descriptor(msgspec.Struct):
    digest: str
    platform: dict[str, Any] = {}


class _Manifest(msgspec.Struct):
    """An index of manifests for several platforms, or a manifest with its layers."""

    manifests: list[_Descriptor] = []
    layers: list[_Descriptor] = []
    config: _Descriptor | None = None


def own_platform() -> str:
    """The platform of images that run on this machine, as in linux/amd64."""
    machine = platform.machine()
    return f"linux/{_MACHINES.get(machine, machine)}"


def image_orders(
    one: Locked, mirror: str, platforms: tuple[str, ...], get: Callable[[str], bytes]
) -> Iterator[Order]:
    """What the image consists of; `get` gives the content at a path of the cache.

    Of an image for several platforms, the parts of these are taken. Raises DocumentError.
    """
    repository = repository_of_image(one.name)
    if not _REPOSITORY.fullmatch(repository):
        raise DocumentError(f"{repository!r} is no name of a repository")
    place = f"/{mirror}/v2/{repository}"
    reference = image_reference(one)
    waiting = [reference]
    seen = {reference}
    while waiting:
        reference = waiting.pop()
        path = f"{place}/manifests/{reference}"
        yield Order(f"{one.name}: {reference}", (path,), digest_of(reference, "the image"), _ACCEPT)
        manifest = _manifest(get(path), path)
        for part in (*manifest.layers, *([manifest.config] if manifest.config else [])):
            _check(part, path)
            digests = digest_of(part.digest, "its manifest")
            yield Order(f"{one.name}: {part.digest}", (f"{place}/blobs/{part.digest}",), digests)
        fitting = [part for part in manifest.manifests if _platform(part) in platforms]
        if manifest.manifests and not fitting:
            there = ", ".join(sorted({_platform(part)[:40] for part in manifest.manifests})[:20])
            raise DocumentError(f"{path} is for {there}, and not for {', '.join(platforms)}")
        for part in fitting:
            _check(part, path)
            if part.digest not in seen and len(seen) <= _MOST_PARTS:
                seen.add(part.digest)
                waiting.append(part.digest)


def _manifest(content: bytes, path: str) -> _Manifest:
    try:
        manifest = msgspec.json.decode(content, type=_Manifest)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path} is no manifest: {error}") from None
    if len(manifest.layers) > _MOST_PARTS or len(manifest.manifests) > _MOST_PARTS:
        raise DocumentError(f"{path} has more than {_MOST_PARTS} parts")
    return manifest


def _check(part: _Descriptor, path: str) -> None:
    if not _DIGEST.fullmatch(part.digest):
        raise DocumentError(f"{path} names a part by {part.digest[:100]!r}, which is no sha256")


def _platform(part: _Descriptor) -> str:
    return f"{part.platform.get('os')}/{part.platform.get('architecture')}"
