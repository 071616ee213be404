"""The ecosystems, each in a file of its own."""

from __future__ import annotations

from pyproxycache.mirrors.ecosystem import Ecosystem
from pyproxycache.mirrors.ecosystems.cargo import CARGO
from pyproxycache.mirrors.ecosystems.conda import CONDA
from pyproxycache.mirrors.ecosystems.distributions.apk import APK
from pyproxycache.mirrors.ecosystems.distributions.apt import APT
from pyproxycache.mirrors.ecosystems.distributions.dnf import DNF
from pyproxycache.mirrors.ecosystems.generic import GENERIC
from pyproxycache.mirrors.ecosystems.github import GITHUB
from pyproxycache.mirrors.ecosystems.go import GO
from pyproxycache.mirrors.ecosystems.huggingface import HUGGINGFACE
from pyproxycache.mirrors.ecosystems.maven import MAVEN
from pyproxycache.mirrors.ecosystems.npm import NPM
from pyproxycache.mirrors.ecosystems.oci import OCI
from pyproxycache.mirrors.ecosystems.pypi import PYPI
from pyproxycache.mirrors.ecosystems.rubygems import RUBYGEMS

ECOSYSTEMS: dict[str, Ecosystem] = {
    one.name: one
    for one in (
        *(APK, APT, CARGO, CONDA, DNF, GENERIC, GITHUB, GO, HUGGINGFACE, MAVEN, NPM, OCI, PYPI, RUBYGEMS),
    )
}
"""All of them by name."""
