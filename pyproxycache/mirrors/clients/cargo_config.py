"""cargo: its registries, as far as they are asked by HTTP (sparse indexes)."""

from __future__ import annotations

import re

from pyproxycache.mirrors.clients.client_settings import Environ, Settings, at, table, texts
from pyproxycache.mirrors.toml_text import toml_of

_SPARSE = "sparse+"
_INDEX = re.compile(r"CARGO_REGISTRIES_([A-Z0-9_]+)_INDEX")


def cargo_file(text: str, _environ: Environ) -> Settings:
    """config.toml; indexes in git repositories are left out."""
    document = toml_of(text)
    told = [(f"source.{name}", at(one, "registry")) for name, one in table(document.get("source")).items()]
    registries = table(document.get("registries"))
    told += [(f"registries.{name}", at(one, "index")) for name, one in registries.items()]
    return _sparse([(key, url) for key, value in told for url in texts(value)[:1]])


def cargo_variables(environ: Environ) -> Settings:
    """CARGO_REGISTRIES_NAME_INDEX of each registry."""
    named = ((_INDEX.fullmatch(name), value) for name, value in environ.items())
    return _sparse([(f"registries.{found[1].lower()}", value) for found, value in named if found])


def _sparse(told: list[tuple[str, str]]) -> Settings:
    return {key: (url.removeprefix(_SPARSE),) for key, url in told if url.startswith(_SPARSE)}
