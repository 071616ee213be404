"""Builds the gates that stand before releases: of mirrors, and of hosts that the configuration names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from pyproxycache.configuration.config import Config
from pyproxycache.front.gating.document_gate import DocumentGate
from pyproxycache.front.gating.gate_terms import GateTerms
from pyproxycache.front.gating.gated_answers import GatedPlace, GatedPlaces
from pyproxycache.front.gating.index_gate import IndexGate, KnownIndexes
from pyproxycache.front.gating.judgements import ReleaseGate, ReleasePlace
from pyproxycache.front.gating.known_releases import KnownReleases
from pyproxycache.front.gating.module_gate import KnownTimes, ModuleGate
from pyproxycache.front.gating.path_gate import PathGate
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.mirroring.mirror import Mirror
from pyproxycache.gates.allowances import AllowanceFile
from pyproxycache.messages import OwnAccess
from pyproxycache.mirror_options import MirrorOptions, UseOptions
from pyproxycache.mirrors.cooldown.admission import Admission
from pyproxycache.mirrors.cooldown.by_ecosystem.named_releases import NAMED_RELEASES
from pyproxycache.mirrors.cooldown.known import NAMED, RELEASE_DOCUMENTS
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.ecosystems.go import GO
from pyproxycache.mirrors.repositories import base_of
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.url import Url

PRESET = "use:"
"""What the names of presets begin with where mirrors have names."""


@dataclass(frozen=True, slots=True)
class GateParts:
    """What gates share: what is let through at any age, and what documents have told."""

    allowed: AllowanceFile
    releases: KnownReleases = field(default_factory=KnownReleases)
    times: KnownTimes = field(default_factory=KnownTimes)
    indexes: KnownIndexes = field(default_factory=KnownIndexes)

    def gate(
        self,
        ecosystem: str,
        admission: Admission,
        place: ReleasePlace,
        cached: CachedAnswers,
        *,
        is_strict: bool = True,
    ) -> ReleaseGate:
        """The gate before releases of the ecosystem, which has releases with names."""
        versions = partial(self.allowed.versions, admission.name)
        state = partial(self.allowed.state, admission.name)
        terms = GateTerms(admission, place, cached, versions, state, is_strict)
        if ecosystem == "conda":
            return IndexGate(terms, self.indexes)
        if ecosystem == "go":
            return ModuleGate(terms, self.times)
        if ecosystem in RELEASE_DOCUMENTS:
            return DocumentGate(terms, RELEASE_DOCUMENTS[ecosystem], self.releases)
        return PathGate(admission, NAMED_RELEASES[ecosystem])


@dataclass(frozen=True, slots=True)
class PresetPlace:
    """Hosts of a preset, below a path; documents of files may be on any of those whose names are given.

    The cache has no credentials of its own for them.
    """

    name: str
    base: str
    hosts: tuple[str, ...]

    def upstreams_for(self, url: Url) -> tuple[Url, ...]:
        """The places of documents: the named hosts, asked as the URL's own is, which comes last."""
        exact = [
            one for one in self.hosts if "*" not in one and not one.startswith(".") and one != url.host
        ]
        return tuple(replace(url, host=one, target=f"{self.base}/") for one in (*exact, url.host))

    def access(self, _url: Url) -> OwnAccess | None:
        """None of the cache's own credentials."""
        return None


def build_places(config: Config, parts: GateParts, cached: CachedAnswers) -> GatedPlaces:
    """Build what says which gate stands before a URL, whatever way clients ask by."""
    below: list[GatedPlace] = []
    files: list[GatedPlace] = []
    for name, one in config.mirrors.items():
        admission, mirror = admission_of(name, one), mirror_of(name, one)
        gate = None if admission is None else parts.gate(one.ecosystem, admission, mirror, cached)
        below += [GatedPlace(gate, base_of(url.path), url) for url in one.urls]
        if admission is None:
            continue
        lenient = parts.gate(one.ecosystem, admission, mirror, cached, is_strict=False)
        if "*" not in one.file_hosts:
            files.append(GatedPlace(lenient, "", hosts=HostPatterns(one.file_hosts), has_documents=False))
        files += [
            GatedPlace(lenient, base_of(used.path), hosts=HostPatterns(used.hosts), has_documents=False)
            for used in config.use
            if used.ecosystem == one.ecosystem and used.hosts
        ]
    # Of mirrors of one upstream those count that do not give all releases.
    below.sort(key=lambda place: (-len(place.base), place.gate is None))
    presets = [place for used in config.use if (place := _preset(used, parts, cached)) is not None]
    return GatedPlaces((*below, *presets, *files))


def _preset(used: UseOptions, parts: GateParts, cached: CachedAnswers) -> GatedPlace | None:
    name, base = f"{PRESET}{used.ecosystem}", base_of(used.path)
    admission = admission_of(name, used)
    if admission is None or not used.hosts:
        return None
    gate = parts.gate(
        used.ecosystem, admission, PresetPlace(name, base, used.hosts), cached, is_strict=False
    )
    return GatedPlace(gate, base, hosts=HostPatterns(used.hosts))


def mirror_of(name: str, options: MirrorOptions) -> Mirror:
    """The mirror as its clients know it."""
    return Mirror(
        name,
        ECOSYSTEMS[options.ecosystem],
        options.urls,
        HostPatterns(options.file_hosts),
        frozenset(item.url for item in options.upstream if item.credentials is not None),
        options.sumdb if options.ecosystem == GO.name else None,
        options.own_first,
    )


def admission_of(name: str, options: MirrorOptions | UseOptions) -> Admission | None:
    """The rules of the mirror's or preset's releases; None if it gives all of them."""
    naming = NAMED.get(options.ecosystem)
    if naming is None or not (options.min_age or options.block):
        return None
    return Admission(name, naming, options.min_age, options.min_age_except, options.block)
