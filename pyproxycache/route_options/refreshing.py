"""How the answers of a route are refreshed before they are stale."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from pyproxycache.options import Count


class RefreshOptions(Struct, frozen=True, kw_only=True):
    """The upstream is asked for an answer in use anew, `every` so often and after so many `hits`.

    None: not for that; without both, answers are not refreshed.
    """

    every: Annotated[float, "timeout"] | None = None
    hits: Count | None = None
