"""pip and uv: their indexes of Python packages."""

from __future__ import annotations

import configparser

from pyproxycache.mirrors.clients.client_settings import Environ, Settings, at, each, table, texts
from pyproxycache.mirrors.toml_text import toml_of


def pip_file(text: str, _environ: Environ) -> Settings:
    """pip.conf, an INI file; what its commands' sections say wins over [global], as in pip."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    found: Settings = {}
    for section in sorted(parser.sections(), key=lambda name: name != "global"):
        options = {name.lower().replace("_", "-"): value for name, value in parser.items(section)}
        found |= _pip(options.get("index-url") or "", options.get("extra-index-url") or "")
    return found


def pip_variables(environ: Environ) -> Settings:
    """PIP_INDEX_URL and PIP_EXTRA_INDEX_URL."""
    return _pip(environ.get("PIP_INDEX_URL", ""), environ.get("PIP_EXTRA_INDEX_URL", ""))


def _pip(index: str, extra: str) -> Settings:
    first: Settings = {"index-url": (index.strip(),)} if index.strip() else {}
    return first | each("extra-index-url", tuple(extra.split()))


def uv_file(text: str, _environ: Environ) -> Settings:
    """uv.toml: the default index, and further ones beside it."""
    found: Settings = {}
    document = toml_of(text)
    for part in (table(document.get("pip")), document):
        if index := texts(part.get("index-url")):
            found["index-url"] = index
        found |= each("extra-index-url", texts(part.get("extra-index-url")))
    further = document.get("index")
    for number, one in enumerate(further if isinstance(further, list) else ()):
        if url := texts(at(one, "url")):
            found["index-url" if at(one, "default") is True else f"index[{number}]"] = url[:1]
    return found


def uv_variables(environ: Environ) -> Settings:
    """UV_DEFAULT_INDEX and UV_INDEX, and the names that they had before."""
    found: Settings = {}
    if default := environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL"):
        found["index-url"] = (_without_name(default.strip()),)
    more = f"{environ.get('UV_INDEX', '')} {environ.get('UV_EXTRA_INDEX_URL', '')}".split()
    return found | each("extra-index-url", tuple(map(_without_name, more)))


def _without_name(text: str) -> str:
    """The URL of NAME=URL."""
    name, mark, url = text.partition("=")
    return url if mark and "/" not in name else text
