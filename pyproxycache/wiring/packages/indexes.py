"""Builds what knows which documents of packages belong together."""

from __future__ import annotations

from functools import partial

from pyproxycache.configuration.config import Config
from pyproxycache.mirrors.repositories import repository_of
from pyproxycache.serving.package_indexes import PackageIndexes
from pyproxycache.wiring.stored import OpenStore


def build_indexes(config: Config, store: OpenStore) -> PackageIndexes:
    """Build it for the places where mirrors and presets have packages."""
    repository = partial(repository_of, repositories=config.repositories())
    return PackageIndexes(store.stated, store.index, repository)
