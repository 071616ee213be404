"""Nested routes as plain data: each with what it inherits, under its whole path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MERGED = "+"
"""The first item of a list that is added to the inherited one; without it, a list replaces that."""

_ROUTES = "routes"

Problem = tuple[tuple[str | int, ...], str]
"""The path of a value in the configuration, and what is wrong with it."""


def flattened(routes: Any, above: str = "", inherited: dict[Any, Any] | None = None) -> Any:
    """All routes by their whole paths, nested ones with what they inherit; anything else as it is.

    What is no mapping of paths to sections is left, and refused when it is read.
    """
    if not isinstance(routes, dict):
        return routes
    found: dict[Any, Any] = {}
    for path, own in routes.items():
        whole = _below(above, str(path))
        if own is None:
            own = {}
        if not isinstance(own, dict):
            found[whole] = own
            continue
        merged = _merged(inherited or {}, {key: value for key, value in own.items() if key != _ROUTES})
        found[whole] = merged
        if _ROUTES in own:
            nested = flattened(own[_ROUTES], whole, merged)
            if isinstance(nested, dict):
                found.update(nested)
            else:
                merged[_ROUTES] = nested
    return found


def own_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without those that a route has inherited: they are told where the value is written."""
    return [one for one in problems if not any(_is_inherited(one, other) for other in problems)]


def _is_inherited(problem: Problem, other: Problem) -> bool:
    (path, text), (outer, of_outer) = problem, other
    if _ROUTES not in path or path == outer or len(path) != len(outer) or text != of_outer:
        return False
    at = path.index(_ROUTES) + 1
    same = (path[:at], path[at + 1 :]) == (outer[:at], outer[at + 1 :])
    return same and str(path[at]).startswith(f"{str(outer[at]).rstrip('/')}/")


def _below(above: str, path: str) -> str:
    """The path of a nested route: its own name below the outer path."""
    return path if not above else f"{above.rstrip('/')}/{path.lstrip('/')}"


def _merged(inherited: dict[Any, Any], own: dict[Any, Any]) -> dict[Any, Any]:
    """What is inherited, with what a route says itself in its place; null is the default again."""
    found = dict(inherited)
    for key, value in own.items():
        before = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict) and isinstance(before, dict):
            found[key] = _merged(before, value)
        elif isinstance(value, list) and value[:1] == [MERGED]:
            known = before if isinstance(before, list) else [] if before is None else [before]
            found[key] = [*known, *(item for item in value[1:] if item not in known)]
        else:
            found[key] = value
    return found
