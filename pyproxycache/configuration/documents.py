"""Configuration files as plain data: YAML text read with errors that say what to write instead."""

from __future__ import annotations

from typing import Any

import yaml

from pyproxycache.errors import ConfigError


def document_of(text: str, source: str) -> dict[Any, Any]:
    """The YAML text as a mapping, {} if it is empty; `source` names the text in errors.

    Raises ConfigError.
    """
    try:
        # Safe: _Loader is a SafeLoader, which builds plain data only.
        document = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: {error.problem}{_yaml_hint(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{source}: is not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        accepted = "write keys with values, as in listen: 0.0.0.0:3128"
        raise ConfigError(f"{source}: {document!r} is not a configuration: {accepted}")
    return document


_YAML_HINTS = {
    "expected alphabetic or numeric character": "text that begins with * or & needs quotes",
    "found unknown escape character": "in single quotes backslashes stay as they are",
    "cannot start any token": "indent with spaces; text that begins with such a character needs quotes",
    "mapping values are not allowed": "text with a colon and a space needs quotes",
    "expected <block end>": "the keys of one section are indented alike",
    "could not find expected ':'": "a key has a colon and a space behind it",
}


def _yaml_hint(error: yaml.MarkedYAMLError) -> str:
    """What to do about a common mistake in YAML; "" for others."""
    return next((f" ({hint})" for text, hint in _YAML_HINTS.items() if text in (error.problem or "")), "")


def put_key(document: dict[Any, Any], key: str, value: object) -> None:
    """Set a dotted key ("store.path"); a section that is not a mapping stays, and is refused when read."""
    *sections, last = key.split(".")
    place: Any = document
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            return
    place[last] = value


class _Loader(yaml.SafeLoader):
    """A SafeLoader that raises an error for a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _value in node.value:
            key = (key_node.tag, key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node))
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key[1]!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
