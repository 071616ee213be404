"""Purges that the operator asks for, as those of the command `purge`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from pyproxycache.errors import BadRequest
from pyproxycache.front.admin.admin_reply import JSON, AdminReply
from pyproxycache.front.admin.admin_request import AdminRequest

log = logging.getLogger("pyproxycache")

METHODS = ("POST", "PURGE")
_KINDS = ("url", "prefix", "pattern", "group", "all")
_ACCEPTED = "url, prefix or pattern (each may stand there several times), group (with origin), or all=yes"


class Purges(Protocol):
    """Removes what is stored; each gives how many stored responses that were, and raises StoreError.

    Raises BadRequest for a URL or a prefix that is none.
    """

    def urls(self, urls: Sequence[str]) -> int:
        """Of these URLs."""

    def prefixes(self, prefixes: Sequence[str]) -> int:
        """Of all URLs that begin so."""

    def patterns(self, patterns: Sequence[str]) -> int:
        """Of all URLs that match these globs."""

    def group(self, name: str, origin: str | None) -> int:
        """In a cache group, of one origin or of all."""

    def everything(self) -> int:
        """All there is."""


class PurgePage:
    """Purges what the parameters name, one kind of them at a time."""

    def __init__(self, purges: Purges) -> None:
        self._purges = purges

    def answer(self, request: AdminRequest) -> AdminReply:
        """How much was purged; raises BadRequest and StoreError."""
        count = self._purged(request.parameters)
        log.info("purged %d stored responses for %s", count, request.peer or "a client of a Unix socket")
        return AdminReply(200, json.dumps({"purged": count}).encode() + b"\n", JSON)

    def _purged(self, given: Mapping[str, list[str]]) -> int:
        kinds = [kind for kind in _KINDS if kind in given]
        if len(kinds) != 1 or not given.keys() <= {*_KINDS, "origin"} or not all(map(all, given.values())):
            raise BadRequest(f"name what to purge: {_ACCEPTED}")
        (kind,) = kinds
        values, origins = given[kind], given.get("origin", [])
        if len(origins) > 1 or (origins and kind != "group"):
            raise BadRequest("origin stands once, and with group alone")
        match kind:
            case "url":
                return self._purges.urls(values)
            case "prefix":
                return self._purges.prefixes(values)
            case "pattern":
                return self._purges.patterns(values)
            case "group" if len(values) == 1:
                return self._purges.group(values[0], origins[0] if origins else None)
            case "all" if values == ["yes"]:
                return self._purges.everything()
        raise BadRequest(f"{kind} is not accepted so: {_ACCEPTED}")
