"""The ecosystems whose releases are known: their names, and where there are times, how these are told."""

from __future__ import annotations

from pyproxycache.mirrors.cooldown.admission import Naming
from pyproxycache.mirrors.cooldown.by_ecosystem import conda_releases, go_releases
from pyproxycache.mirrors.cooldown.by_ecosystem.javascript_releases import JAVASCRIPT_RELEASES
from pyproxycache.mirrors.cooldown.by_ecosystem.named_releases import NAMED_RELEASES
from pyproxycache.mirrors.cooldown.by_ecosystem.python_releases import PYTHON_RELEASES
from pyproxycache.mirrors.cooldown.by_ecosystem.rust_releases import RUST_RELEASES
from pyproxycache.mirrors.cooldown.release_documents import ReleaseDocuments

RELEASE_DOCUMENTS: dict[str, ReleaseDocuments] = {
    "cargo": RUST_RELEASES,
    "npm": JAVASCRIPT_RELEASES,
    "pypi": PYTHON_RELEASES,
}
"""How documents tell of the releases of one package, by the ecosystem's name."""

TIMED: dict[str, Naming] = {
    "conda": conda_releases.NAMING,
    "go": go_releases.NAMING,
    **{name: one.naming for name, one in RELEASE_DOCUMENTS.items()},
}
"""The ecosystems whose releases have times, with how they write names and versions."""

NAMED: dict[str, Naming] = {**TIMED, **{name: one.naming for name, one in NAMED_RELEASES.items()}}
"""The ecosystems whose releases have names and versions, with how they write these."""
