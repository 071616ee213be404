"""What a client's configuration names as its repositories, and how texts of it are read without harm."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

Environ = Mapping[str, str]
"""The variables that a client reads."""

Settings = dict[str, tuple[str, ...]]
"""URLs by the setting that names them, as they stand there; several are asked in their order.

A setting of a file that is read later takes the place of the one before it.
"""

Read = Callable[[str, Environ], Settings]
"""Reads the text of a file; raises ValueError, which says what is wrong with it."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^}]*))?\}")


def no_settings(_environ: Environ) -> Settings:
    """What the variables name where a client reads none."""
    return {}


def texts(value: Any) -> tuple[str, ...]:
    """Those items of a list, or the text alone, that are texts; () of anything else."""
    items = value if isinstance(value, list) else [value]
    return tuple(one.strip() for one in items if isinstance(one, str) and one.strip())


def at(value: Any, *keys: str) -> Any:
    """What is at these keys of nested tables; None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def table(value: Any) -> dict[Any, Any]:
    """The value if it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def each(setting: str, urls: tuple[str, ...]) -> Settings:
    """A setting of its own for each URL of a list whose items are asked beside one another."""
    return {f"{setting}[{number}]": (url,) for number, url in enumerate(urls)}


def lines_of(text: str, comment: str = "#") -> Iterator[str]:
    """The lines that say something, without blanks around them."""
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith(tuple(comment)):
            yield line


def with_variables(text: str, environ: Environ) -> str:
    """The text with ${NAME} and ${NAME-other} replaced; what is not set stays as it is, as npm has it."""
    return _VARIABLE.sub(lambda found: environ.get(found[1], found[3] if found[2] else found[0]), text)


def yaml_of(text: str) -> dict[Any, Any]:
    """The YAML text as plain data, {} if it is no mapping; raises ValueError."""
    try:
        # Safe: _PlainLoader is a SafeLoader, which builds plain data only.
        return table(yaml.load(text, _PlainLoader))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {error}") from error


class _PlainLoader(yaml.SafeLoader):
    """Takes no references, by which a short text stands for any amount of data."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has references (*name), which are not read")
        return super().compose_node(parent, index)
