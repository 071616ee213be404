"""Which of several media types a client prefers (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyproxycache.rules.grammar import split_list

_WEIGHT = re.compile(r"[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
_MOST_RANGES = 50


def preferred(accept: str | None, media_types: Sequence[str]) -> str:
    """The one of the media types that the client likes best; of equal ones, and for none, the first."""
    weights: dict[str, float] = {}
    for item in split_list(accept or "")[:_MOST_RANGES]:
        media_range, *parameters = item.split(";")
        found = [match for one in parameters if (match := _WEIGHT.fullmatch(one))]
        weights[media_range.strip().lower()] = float(found[0][1]) if found else 1.0

    def weight(media_type: str) -> float:
        kind = media_type.partition("/")[0]
        fitting = (weights[one] for one in (media_type, f"{kind}/*", "*/*") if one in weights)
        return next(fitting, 0.0)

    return max(media_types, key=weight)
