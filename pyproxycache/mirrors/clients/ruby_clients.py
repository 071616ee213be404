"""bundler and gem: sources of Ruby packages, and the mirrors of them."""

from __future__ import annotations

import re

from pyproxycache.mirrors.clients.client_settings import Environ, Settings, each, lines_of, texts, yaml_of

_MIRROR = re.compile(r"(BUNDLE_MIRROR__\S+?): +\"?([^\"\s]+)\"?")


def bundle_file(text: str, _environ: Environ) -> Settings:
    """Bundler's config, whose keys may have colons and slashes."""
    told = (_MIRROR.fullmatch(line) for line in lines_of(text))
    return _mirrors({found[1]: found[2] for found in told if found})


def bundle_variables(environ: Environ) -> Settings:
    """BUNDLE_MIRROR__URL of each mirrored source."""
    return _mirrors({name: value for name, value in environ.items() if name.startswith("BUNDLE_MIRROR__")})


def _mirrors(values: dict[str, str]) -> Settings:
    # Beside a mirror's URL there may be how long it is waited for.
    return {name: (url,) for name, url in values.items() if "://" in url}


def gemrc(text: str, _environ: Environ) -> Settings:
    """The sources in .gemrc, whose keys may be symbols of Ruby."""
    document = yaml_of(text)
    return each("sources", texts(document.get(":sources") or document.get("sources")))
