"""Plain data of a configuration converted to frozen option values by their annotated types, and back."""

from __future__ import annotations

import types
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from pyproxycache.configuration.notation import NOTATIONS, Notation, choice
from pyproxycache.configuration.refusals import as_written
from pyproxycache.mirror_options import MirrorUpstreamOptions, UseOptions
from pyproxycache.options import ListenerOptions, ParentOptions
from pyproxycache.route_options.events import RabbitmqOptions, WebhookOptions
from pyproxycache.route_options.introspection import EndpointOptions
from pyproxycache.route_options.pooling import HealthOptions, MemberOptions
from pyproxycache.route_options.route import HostOptions

# Sections that may be given as one plain value, and the key that the value is for.
_SHORT_FORMS = {
    ParentOptions: "url",
    ListenerOptions: "address",
    MirrorUpstreamOptions: "url",
    UseOptions: "ecosystem",
    EndpointOptions: "url",
    RabbitmqOptions: "url",
    WebhookOptions: "url",
    MemberOptions: "url",
    HealthOptions: "path",
}
# Those of them that are written so, too, where nothing else is set: a list of them is read more easily.
_WRITTEN_SHORT = {ListenerOptions, MemberOptions, MirrorUpstreamOptions, UseOptions}

_OPTIONAL = (Union, types.UnionType)

KeyPath = tuple[str | int, ...]
"""Where a value is in the configuration: the keys, and the positions in lists, from the outermost on."""


class Refused(Exception):
    """Values were refused: `problems` has the path of each, and what is wrong with it."""

    def __init__(self, *problems: tuple[KeyPath, str]) -> None:
        super().__init__()
        self.problems = problems


class Problems:
    """Collects problems at several places of the configuration, to raise them together."""

    def __init__(self) -> None:
        self.problems: list[tuple[KeyPath, str]] = []

    def read(self, kind: Any, value: Any, path: KeyPath) -> Any:
        """The value converted to the annotated type; None if it is refused, with the problems collected."""
        try:
            return _read(kind, value, path)
        except Refused as refused:
            self.problems += refused.problems
            return None

    def add(self, path: KeyPath, text: str) -> None:
        """Add a problem of the value at the path."""
        self.problems.append((path, text))

    def raise_any(self) -> None:
        """Raise Refused if there are problems."""
        if self.problems:
            raise Refused(*self.problems)


def _read(kind: Any, value: Any, path: KeyPath) -> Any:
    """The value converted to the annotated type; raises Refused."""
    if get_origin(kind) in _OPTIONAL:
        return None if value is None else _read(get_args(kind)[0], value, path)
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return (_read(get_args(kind)[0], value, path),)
        problems = Problems()
        items = [problems.read(get_args(kind)[0], item, (*path, n)) for n, item in enumerate(value)]
        problems.raise_any()
        return tuple(items)
    if get_origin(kind) is dict:
        return _read_named(get_args(kind), value, path)
    if _is_section(kind):
        return read_section(kind, value, path)
    try:
        return _notation(kind).read(value)
    except (ValueError, OverflowError) as error:
        raise Refused((path, str(error))) from error


def _read_named(kinds: tuple[Any, Any], value: Any, path: KeyPath) -> dict[Any, Any]:
    """The values by the names that the user gave them, both of these kinds; raises Refused."""
    if not isinstance(value, dict):
        raise Refused((path, f"{as_written(value)} is not a section: names with what each stands for"))
    problems, read = Problems(), {}
    for name, item in value.items():
        read[problems.read(kinds[0], name, (*path, str(name)))] = problems.read(
            kinds[1], item, (*path, str(name))
        )
    problems.raise_any()
    return read


def read_section(kind: Any, value: Any, path: KeyPath) -> Any:
    """The section at the path as a Struct of this class; raises Refused with all that is wrong in it."""
    accepted = {info.encode_name: info for info in fields(kind)}
    if kind in _SHORT_FORMS and not isinstance(value, dict):
        key = _SHORT_FORMS[kind]
        return kind(**{key: _read(accepted[key].type, value, path)})
    if not isinstance(value, dict):
        raise Refused(
            (path, f"{as_written(value)} is not a section: keys with values, of {', '.join(accepted)}")
        )
    problems, read = Problems(), {}
    for key, item in value.items():
        info = accepted.get(key)
        if info is None:
            near = _keys_within(kind, str(key)) or get_close_matches(str(key), accepted, 1)
            hint = f", did you mean {' or '.join(near)}" if near else ""
            text = f"unknown key{hint}; accepted here: {', '.join(accepted)}"
            problems.add((*path, str(key)), text)
        # A key without a value counts as absent, unless null is one of its values.
        elif item is not None or get_origin(info.type) in _OPTIONAL:
            read[info.name] = problems.read(info.type, item, (*path, key))
    for key, info in accepted.items():
        if info.required and info.name not in read:
            problems.add((*path, key), "is missing, and has no default")
    problems.raise_any()
    return kind(**read)


def _keys_within(kind: Any, name: str) -> list[str]:
    """The keys of this name in sections of the section, as `store.path`; `hosts` has those of `routes`."""
    found = []
    for info in fields(kind):
        inner = info.type
        while get_origin(inner) in (*_OPTIONAL, tuple):
            inner = get_args(inner)[0]
        if get_origin(inner) is dict:
            inner = get_args(inner)[1]
        if info.encode_name == name:
            found.append(name)
        if _is_section(inner) and inner is not HostOptions:
            found += [f"{info.encode_name}.{key}" for key in _keys_within(inner, name)]
    return found


def written(kind: Any, value: Any) -> Any:
    """The value as plain YAML data, which is read to an equal one."""
    if value is None:
        return None
    if get_origin(kind) in _OPTIONAL:
        return written(get_args(kind)[0], value)
    if get_origin(kind) is tuple:
        return [written(get_args(kind)[0], item) for item in value]
    if get_origin(kind) is dict:
        return {name: written(get_args(kind)[1], item) for name, item in value.items()}
    if _is_section(kind):
        items = {info.encode_name: written(info.type, getattr(value, info.name)) for info in fields(kind)}
        if kind in _WRITTEN_SHORT:
            key = _SHORT_FORMS[kind]
            if value == kind(**{key: getattr(value, key)}):
                return items[key]
        return items
    return _notation(kind).write(value)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _notation(kind: Any) -> Notation:
    if get_origin(kind) is Annotated:
        return NOTATIONS[kind.__metadata__[0]]
    if get_origin(kind) is Literal:
        return choice(get_args(kind))
    return NOTATIONS["switch" if kind is bool else "text"]
