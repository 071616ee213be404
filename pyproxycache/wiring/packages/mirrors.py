"""Builds the mirrors that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping

from pyproxycache.front.gating.gated_answers import GatedPlaces
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Handler
from pyproxycache.front.mirroring.image_registries import ImageRegistries, ImageRegistry
from pyproxycache.front.mirroring.mirrors import Mirrors
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local
from pyproxycache.mirror_options import MirrorOptions
from pyproxycache.mirrors.ecosystems.oci import OCI
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.url import Url
from pyproxycache.wiring.packages.gating import GateParts, admission_of, mirror_of


def build_mirrors(
    mirrors: Mapping[str, MirrorOptions],
    public_url: Url | None,
    cached: CachedAnswers,
    parts: GateParts,
    elsewhere: GatedPlaces,
) -> Mirrors:
    """Build the handler of all mirrors; clients know the cache by `public_url`, None: by what they ask."""

    def public(received: RawRequest) -> str:
        if public_url is not None:
            return str(public_url).rstrip("/")
        host = received.field("host")
        # A client of HTTP/1.0 need not say how it knows the cache: its links are paths then.
        return f"{received.ingress.scheme}://{host}" if host else ""

    made = [mirror_of(name, one) for name, one in mirrors.items()]
    gates = {
        one.name: parts.gate(one.ecosystem.name, admission, one, cached)
        for one in made
        if (admission := admission_of(one.name, mirrors[one.name])) is not None
    }
    return Mirrors(made, cached, public, _every_file, gates, elsewhere)


def build_registries(
    mirrors: Mapping[str, MirrorOptions], handler: Handler[Local]
) -> ImageRegistries | None:
    """Build what answers at /v2/, by the `handler` of all mirrors; None if there is no mirror of images."""
    registries = [
        ImageRegistry(
            name,
            frozenset((*map(str.lower, one.registries), *(url.authority for url in one.urls))),
        )
        for name, one in mirrors.items()
        if one.ecosystem == OCI.name
    ]
    return ImageRegistries(registries, handler) if registries else None


def _every_file(_file: NamedFile) -> bool:
    return True
