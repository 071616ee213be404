"""Names of fields that an upstream may take for one another."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from pyproxycache.messages import Headers

# Where fields become variables, as with CGI, PHP and WSGI, all marks in their names are the same.
_MARK = re.compile(r"[^0-9a-z]")
_RESPELLED = re.compile(r"[^0-9a-z-]")


def usual_name(name: str) -> str:
    """The name that upstreams may read in this one, which is in lower case: with "-" for all marks."""
    return _MARK.sub("-", name)


def without_alike(given: Headers, names: AbstractSet[str]) -> Headers:
    """The fields without those of these names, which are in lower case, and what may be taken for them."""
    unwanted = {usual_name(name) for name in names}
    return given.lacking({name for name in given.names() if usual_name(name) in unwanted})


def without_respelled(given: Headers, names: AbstractSet[str]) -> Headers:
    """The fields without what may be taken for one of these names, and is written otherwise."""
    respelled = [name for name in given.names() if _RESPELLED.search(name) and name not in names]
    if not respelled:
        return given
    known = {usual_name(name) for name in names}
    return given.lacking({name for name in respelled if usual_name(name) in known})
