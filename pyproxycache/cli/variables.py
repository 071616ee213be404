"""Finds environment variables with this project's prefix that no option reads."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click

_PREFIX = "PYPROXYCACHE_"


def unknown_variables(commands: Iterable[click.Command], names: Iterable[str]) -> list[str]:
    """A line for each variable that no option reads; it may be a typing error.

    It may also be harmless: Kubernetes sets such variables for a service of this name.
    """
    known = {text for command in commands for option in command.params for text in _variables(option)}
    lines = []
    for name in sorted(names):
        if name.startswith(_PREFIX) and name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}" if near else f"known are {', '.join(sorted(known))}"
            lines.append(f"the variable {name} is not known, and sets nothing; {hint}")
    return lines


def _variables(option: click.Parameter) -> list[str]:
    found = option.envvar
    return [found] if isinstance(found, str) else list(found or ())
