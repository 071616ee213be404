"""Go: the module proxies of GOPROXY."""

from __future__ import annotations

import re

from pyproxycache.mirrors.clients.client_settings import Environ, Settings, lines_of

_WORDS = ("", "direct", "off", "none")


def go_file(text: str, _environ: Environ) -> Settings:
    """The file that `go env -w` writes."""
    values = dict(line.partition("=")[::2] for line in lines_of(text))
    return go_variables(values)


def go_variables(environ: Environ) -> Settings:
    """GOPROXY, whose proxies are asked in their order."""
    proxies = tuple(one.strip() for one in re.split(r"[,|]", environ.get("GOPROXY", "")))
    urls = tuple(one for one in proxies if one not in _WORDS)
    return {"GOPROXY": urls} if urls else {}
