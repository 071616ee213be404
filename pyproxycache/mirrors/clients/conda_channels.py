"""conda: the channels of .condarc."""

from __future__ import annotations

import re

from pyproxycache.mirrors.clients.client_settings import (
    Environ,
    Settings,
    each,
    texts,
    with_variables,
    yaml_of,
)

_LISTS = ("channels", "default_channels")


def condarc(text: str, environ: Environ) -> Settings:
    """.condarc; channels that are names alone belong to the alias, or are conda's own."""
    document = yaml_of(text)
    found: Settings = {}
    if alias := texts(document.get("channel_alias"))[:1]:
        found["channel_alias"] = alias
    for name in _LISTS:
        found |= each(name, _urls(texts(document.get(name))))
    return {key: tuple(with_variables(url, environ) for url in urls) for key, urls in found.items()}


def conda_variables(environ: Environ) -> Settings:
    """CONDA_CHANNELS and CONDA_CHANNEL_ALIAS."""
    found = each("channels", _urls(tuple(re.split(r"[,\s]+", environ.get("CONDA_CHANNELS", "")))))
    if alias := environ.get("CONDA_CHANNEL_ALIAS"):
        found["channel_alias"] = (alias,)
    return found


def _urls(channels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in channels if "://" in one)
