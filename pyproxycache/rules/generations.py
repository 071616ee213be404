"""Whether a stored document is of the same generation as those that change together with it."""

from __future__ import annotations

from collections.abc import Iterable

from pyproxycache.messages import Entry
from pyproxycache.rules.grammar import http_date

_APART = 2.0
"""Seconds within which documents count as one generation: clients ask for one after the other."""
_SETTLING = 60.0
"""Seconds since a document has changed, in which those beside it may still be replaced."""


def is_behind(own: Entry, others: Iterable[Entry], now: float) -> bool:
    """Whether a fresh entry has to be validated before it is given beside these, which change with it.

    That is so if one of them was fetched or validated later, or if the origin has changed one just before
    it was. `now` is in seconds since the epoch.
    """
    there = [one for one in others if one.status == 200]
    if not there or own.status != 200:
        return False
    newest = max(one.response_time for one in there)
    if newest - own.response_time > _APART:
        return True
    return now - own.response_time > _APART and any(map(_may_not_be_settled, (own, *there)))


def _may_not_be_settled(entry: Entry) -> bool:
    changed = http_date(entry.headers.get("last-modified") or "")
    return changed is not None and entry.response_time - changed < _SETTLING
