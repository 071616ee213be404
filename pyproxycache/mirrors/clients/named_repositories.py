"""Repositories that clients' settings name, as upstreams of mirrors and as hosts of presets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyproxycache.errors import BadRequest
from pyproxycache.mirrors.repositories import TAKEN_NAMES
from pyproxycache.rules.urls import parse_url
from pyproxycache.rules.userinfo import split_userinfo, without_userinfo
from pyproxycache.url import Url, without_query

# Where a client is told of a path below what a mirror mirrors: the index of a Python repository.
_BELOW = {"pypi": re.compile(r"simple/*\Z")}
# conda has tokens in paths.
_TOKEN = re.compile(r"/t/[^/]+(?=/|\Z)")
_UNSUITED = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class NamedRepository:
    """A repository as one setting of a client names it; `upstreams` are asked in their order.

    `told_by` says where: the client, the file or variables, the setting.
    """

    ecosystem: str
    upstreams: tuple[Url, ...]
    told_by: str
    notes: tuple[str, ...] = ()


def named_by(ecosystem: str, urls: Iterable[str], told_by: str) -> NamedRepository:
    """The repository at these URLs; what is left out of them, or cannot be mirrored, is in its `notes`."""
    upstreams: list[Url] = []
    notes: list[str] = []
    for text in urls:
        plain, userinfo = split_userinfo(text)
        plain, tokens = _TOKEN.subn("", plain) if ecosystem == "conda" else (plain, 0)
        try:
            url = parse_url(plain)
        except BadRequest as error:
            notes.append(f"{without_query(without_userinfo(text))!r} is left out: {error}")
            continue
        if userinfo or tokens:
            notes.append(f"the credentials for {url.origin} are left out")
        if url.query is not None:
            notes.append(f"the query behind {url.origin}{url.path} is left out")
        base = _BELOW[ecosystem].sub("", url.path) if ecosystem in _BELOW else url.path
        upstreams.append(Url(url.scheme, url.host, url.port, f"{base.rstrip('/')}/"))
    return NamedRepository(ecosystem, tuple(dict.fromkeys(upstreams)), told_by, tuple(notes))


@dataclass(frozen=True, slots=True)
class ProposedMirror:
    """A mirror as it could be configured, and by whom its upstreams are named."""

    name: str
    ecosystem: str
    upstreams: tuple[Url, ...]
    told_by: tuple[str, ...] = field(default=())


def proposed(repositories: Iterable[NamedRepository], known: Iterable[str]) -> list[ProposedMirror]:
    """A mirror for each of the repositories; clients that name the same one share it.

    One whose ecosystem is not `known` is mirrored as files.
    """
    told: dict[tuple[str, tuple[Url, ...]], list[str]] = {}
    for one in repositories:
        if one.upstreams:
            told.setdefault((one.ecosystem, one.upstreams), []).append(one.told_by)
    counts: dict[str, int] = {}
    for ecosystem, _upstreams in told:
        counts[ecosystem] = counts.get(ecosystem, 0) + 1
    known = frozenset(known)
    mirrors: dict[str, ProposedMirror] = {}
    for (ecosystem, upstreams), by in told.items():
        name = _free_name(ecosystem, upstreams[0], mirrors, is_only=counts[ecosystem] == 1)
        kind = ecosystem if ecosystem in known else "generic"
        mirrors[name] = ProposedMirror(name, kind, upstreams, tuple(by))
    return list(mirrors.values())


def _free_name(ecosystem: str, upstream: Url, taken: Mapping[str, object], *, is_only: bool) -> str:
    """The ecosystem's, or one of several: that of the archive, else with the host's name."""
    begin = ecosystem
    if not is_only:
        last = upstream.path.rstrip("/").rpartition("/")[2]
        begin = last if ecosystem == "apt" and last else f"{ecosystem}-{upstream.host}"
    begin = _UNSUITED.sub("-", begin)[: _LONGEST_NAME - 5].strip("-._") or ecosystem
    if begin in TAKEN_NAMES:
        begin = f"{ecosystem}-{begin}"
    name, number = begin, 1
    while name in taken:
        number += 1
        name = f"{begin}-{number}"
    return name
