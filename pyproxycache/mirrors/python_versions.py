"""Versions of Python packages in one form for all that are equal (PEP 440)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARTS = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_number>[0-9]*))?"
    r"(?P<post>-(?P<bare>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?"
    r"(?:[+](?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
)
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LONGEST = 200


def python_version(text: str) -> str | None:
    """The version in normal form without zeros that do not count ("1.0" is "1"); None if it is none."""
    found = _PARTS.fullmatch(text.strip().lower()) if len(text) <= _LONGEST else None
    if found is None:
        return None
    release = ".".join(map(_number, found["release"].split(".")))
    while release.endswith(".0"):
        release = release[:-2]
    epoch = _number(found["epoch"] or "")
    told = release if epoch == "0" else f"{epoch}!{release}"
    if found["pre"]:
        told += _PRE.get(found["pre"], found["pre"]) + _number(found["pre_number"])
    if found["post"]:
        told += f".post{_number(found['bare'] or found['post_number'] or '')}"
    if found["dev"]:
        told += f".dev{_number(found['dev_number'])}"
    if found["local"]:
        local = re.split(r"[-_.]", found["local"])
        told += "+" + ".".join(_number(part) if part.isdigit() else part for part in local)
    return told


def _number(text: str) -> str:
    return text.lstrip("0") or "0"


_Order = tuple[
    int, tuple[int, ...], tuple[int, str, int], int, tuple[bool, int], tuple[tuple[bool, int, str], ...]
]


def _order(version: str) -> tuple[bool, _Order] | None:
    """Whether it is a final release, and what versions are ordered by (PEP 440); None if it is none."""
    found = _PARTS.fullmatch(python_version(version) or "")
    if found is None:
        return None
    has_dev, has_post = found["dev"] is not None, found["post"] is not None
    if found["pre"]:
        pre = (1, str(found["pre"]), int(found["pre_number"] or 0))
    else:
        # A development release comes before the first alpha.
        pre = (0 if has_dev and not has_post else 2, "", 0)
    post = int(found["post_number"] or 0) if has_post else -1
    dev = (not has_dev, int(found["dev_number"] or 0) if has_dev else 0)
    parts = re.split(r"[-_.]", found["local"]) if found["local"] else []
    local = tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
    release = tuple(map(int, found["release"].split(".")))
    return not found["pre"] and not has_dev, (int(found["epoch"] or 0), release, pre, post, dev, local)


def newest(versions: Iterable[str]) -> str | None:
    """The newest of the versions: of final releases, if there are any; None if none is a version."""
    orders = {version: order for version in versions if (order := _order(version)) is not None}
    return max(orders, key=orders.__getitem__) if orders else None
