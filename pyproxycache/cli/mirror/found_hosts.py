"""Presets without hosts: those of the repositories that this machine's clients are configured with."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from pyproxycache.cli.mirror.client_configuration import configured
from pyproxycache.configuration.config import Config
from pyproxycache.mirror_options import UseOptions
from pyproxycache.mirrors.clients.client_settings import Environ
from pyproxycache.mirrors.clients.named_repositories import NamedRepository


def with_found_hosts(config: Config, environ: Environ, root: Path = Path("/")) -> tuple[Config, list[str]]:
    """The configuration whose presets all have hosts, as far as clients name any, and lines of others."""
    if all(one.hosts for one in config.use):
        return config, []
    repositories = configured(environ, root).repositories
    used: list[UseOptions] = []
    lines: list[str] = []
    for one in config.use:
        found = [one] if one.hosts else _presets(one, repositories)
        used += found or [one]
        if not found:
            text = "no client's configuration on this machine names a host: write which, as `hosts`"
            lines.append(f"use: {one.ecosystem} counts nowhere, as {text}")
    return replace(config, use=tuple(dict.fromkeys(used))), lines


def _presets(preset: UseOptions, repositories: tuple[NamedRepository, ...]) -> list[UseOptions]:
    """The preset for each path, with all hosts that have it."""
    hosts: dict[str, dict[str, None]] = {}
    for one in repositories:
        for url in one.upstreams if one.ecosystem == preset.ecosystem else ():
            hosts.setdefault(url.path, {})[url.host] = None
    return [replace(preset, hosts=tuple(found), path=path) for path, found in hosts.items()]
