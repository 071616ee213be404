"""Paths rewritten for a route's upstream, and the references in its answers that lead back."""

from __future__ import annotations

import re
from urllib.parse import quote

from pyproxycache.errors import BadRequest
from pyproxycache.route_options.around import PathOptions
from pyproxycache.url import leads_upward

_SENDABLE = re.compile(r"/[!-\"$->@-~]*")


def rewritten(path: str, plain: str, options: PathOptions) -> str:
    """The path as the upstream gets it, below its own; `plain` is the same path as routes are matched.

    Raises BadRequest for one that would lead elsewhere, or that cannot be sent.
    """
    found = _stripped(path, plain, options.strip.rstrip("/")) if options.strip else path
    for one in options.replace:
        found = one.pattern.sub(one.text, found)
    if found is not path and (leads_upward(found) or not _SENDABLE.fullmatch(found)):
        raise BadRequest("the path would be rewritten to one that does not stay below the upstream's")
    return options.add.rstrip("/") + found if options.add else found


def _stripped(path: str, plain: str, prefix: str) -> str:
    """The path without the prefix, also where that is written otherwise."""
    if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
        return path[len(prefix) :] or "/"
    return quote(plain[len(prefix) :].encode("latin-1"), safe="/:@!$&'()*+,;=~") or "/"
