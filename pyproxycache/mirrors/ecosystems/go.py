"""Go modules: proxies of modules, and databases of checksums, which clients check by themselves."""

from __future__ import annotations

import re
from urllib.parse import quote

from pyproxycache.mirrors.ecosystem import IMMUTABLE, Ecosystem, PathRule, index


def without_capitals(text: str) -> str:
    """A module's path or version as it stands in URLs: "!x" for "X"."""
    return re.sub("[A-Z]", lambda found: f"!{found[0].lower()}", text)


def with_capitals(text: str) -> str:
    """The path or version that without_capitals() has made such: "X" for "!x"."""
    return re.sub("!([a-z])", lambda found: found[1].upper(), text)


def as_go_asks(path: str) -> str:
    """The path percent-encoded as go does it."""
    return quote(path, safe="/$&+=:@~")


GO = Ecosystem(
    "go",
    rules=(
        # Other names than versions, such as branches, mean what is newest there.
        PathRule(re.compile(r".+/@v/v[0-9]+\.[0-9]+\.[0-9]+[^/]*\.(?:info|mod|zip)$"), IMMUTABLE),
        PathRule(re.compile(r".+/@v/[^/]+\.info$"), index(60)),
        PathRule(re.compile(r".+/(?:@v/list|@latest)$"), index(60)),
    ),
    absent=frozenset({404, 410}),
)
"""Module proxies (GOPROXY); only these two statuses let clients go on to the next of theirs."""

SUMDB = Ecosystem(
    "sumdb",
    rules=(
        PathRule(re.compile(r"lookup/.+@v[^/]+$"), IMMUTABLE),
        PathRule(
            re.compile(r"tile/[0-9]+/(?:[0-9]+|data)/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[0-9]+)?$"), IMMUTABLE
        ),
        PathRule(re.compile(r"latest$"), index(60)),
    ),
    absent=frozenset({404, 410}),
)
"""Databases of checksums (GOSUMDB), which mirrors of modules have below sumdb/NAME/."""
