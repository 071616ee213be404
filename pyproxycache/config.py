"""The configuration: YAML read to frozen options, with errors that say what to write instead."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from msgspec import Struct
from msgspec.structs import fields

from pyproxycache.errors import ConfigError
from pyproxycache.notation import NOTATIONS, Notation, choice, status_codes
from pyproxycache.options import (
    LOOPBACK,
    Address,
    CacheStatusOptions,
    ConnectOptions,
    Count,
    FetchOptions,
    FieldName,
    ForwardedOptions,
    GuardOptions,
    HttpUrl,
    KissCacheOptions,
    LimitOptions,
    LogOptions,
    Network,
    ParentOptions,
    RuleOptions,
    Size,
    StoreOptions,
)
from pyproxycache.rules.cache_key import QueryMode
from pyproxycache.rules.policy import Match, Policies, Policy, Rule

FLAGS = {
    "listen": "--listen",
    "upstream": "--upstream",
    "workers": "--workers",
    "threads": "--threads",
    "store.path": "--cache-dir",
    "store.max_size": "--max-size",
    "store.unused": "--unused",
    "log.access": "--access-log",
}
"""The command-line flag of each key that has one."""

# Sections that may be given as one plain value, and the key that the value is for.
_SHORT_FORMS = {ParentOptions: "url"}

_OPTIONAL = (Union, types.UnionType)

KeyPath = tuple[str | int, ...]


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration; each component gets only its own options out of it."""

    listen: tuple[Address, ...] = ("127.0.0.1:3128",)
    allow: tuple[Network, ...] = LOOPBACK
    allow_purge: tuple[Network, ...] = LOOPBACK
    upstream: HttpUrl | None = None
    parent: ParentOptions | None = None
    workers: Count = 2
    threads: Count = 512
    memory: Size = 256 << 20
    store: StoreOptions
    fetch: FetchOptions = FetchOptions()
    connect: ConnectOptions = ConnectOptions()
    guard: GuardOptions = GuardOptions()
    limits: LimitOptions = LimitOptions()
    kisscache: KissCacheOptions = KissCacheOptions()
    forwarded: ForwardedOptions = ForwardedOptions()
    log: LogOptions = LogOptions()
    cache_status: CacheStatusOptions = CacheStatusOptions()
    targets: tuple[FieldName, ...] = ("cdn-cache-control",)
    rules: tuple[RuleOptions, ...] = ()
    defaults: bool = True

    def policies(self) -> Policies:
        """The rules in the form that rules.decide uses."""
        return Policies(tuple(_rule(options) for options in self.rules), self.targets, self.defaults)


def load(path: Path | None, overrides: Mapping[str, object], given_by: Mapping[str, str] = FLAGS) -> Config:
    """Read the configuration from a file (None: the defaults) and from what the command line sets.

    `overrides` maps dotted keys ("store.max_size") to values that replace the file's; None and () mean not
    given. `given_by` maps keys to what errors call them (a flag or variable). Raises ConfigError.
    """
    document: dict[Any, Any] = {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: is not UTF-8 text: {error}") from error
        document = _document(text, str(path))
    given = {key: value for key, value in overrides.items() if value is not None and value != ()}
    names = {key: given_by.get(key, key) for key in given}
    for key, value in given.items():
        _put(document, key, value)
    return _build(document, str(path or "configuration"), names)


def parse(text: str, source: str) -> Config:
    """Read the configuration from YAML text; `source` names the text in errors. Raises ConfigError."""
    return _build(_document(text, source), source, {})


def dump(config: Config) -> str:
    """The configuration as YAML with every key; parse() reads it to an equal one."""
    return yaml.safe_dump(_written(Config, config), sort_keys=False, allow_unicode=True)


def default_store_path(environ: Mapping[str, str]) -> Path:
    """The folder that systemd made for the service, else one in the user's cache folder.

    Raises ConfigError if the user has no home folder.
    """
    service = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    user = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        return (user if user.is_absolute() else Path("~/.cache").expanduser()) / "pyproxycache"
    except RuntimeError as error:
        raise ConfigError("store.path: this user has no home folder: name one") from error


class _Loader(yaml.SafeLoader):
    """SafeLoader, but a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _value in node.value:
            key = (key_node.tag, key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node))
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key[1]!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _document(text: str, source: str) -> dict[Any, Any]:
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


def _put(document: dict[Any, Any], key: str, value: object) -> None:
    """Set a dotted key; a section that is not a mapping is left, to be refused when it is read."""
    *sections, last = key.split(".")
    place: Any = document
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            return
    place[last] = value


class _Refused(Exception):
    """Carries all problems: the path of each key, and what is wrong with it."""

    def __init__(self, *problems: tuple[KeyPath, str]) -> None:
        super().__init__()
        self.problems = problems


class _Problems:
    """Collects what is wrong in several places, to raise it at once."""

    def __init__(self) -> None:
        self.problems: list[tuple[KeyPath, str]] = []

    def read(self, kind: Any, value: Any, path: KeyPath) -> Any:
        """The value as from _read(); None if that refuses it, with the problems collected."""
        try:
            return _read(kind, value, path)
        except _Refused as refused:
            self.problems += refused.problems
            return None

    def add(self, path: KeyPath, text: str) -> None:
        """Note what is wrong with the key at the path."""
        self.problems.append((path, text))

    def raise_any(self) -> None:
        """Raise _Refused if there are problems."""
        if self.problems:
            raise _Refused(*self.problems)


def _build(document: dict[Any, Any], source: str, given_by: Mapping[str, str]) -> Config:
    store = document.get("store")
    if store is None or (isinstance(store, dict) and store.get("path") is None):
        _put(document, "store.path", default_store_path(os.environ))
    try:
        config: Config = _section(Config, document, ())
        _check(config)
    except _Refused as refused:
        lines = [_line(path, text, source, given_by) for path, text in refused.problems]
        raise ConfigError("\n".join(lines)) from refused
    return config


def _line(path: KeyPath, text: str, source: str, given_by: Mapping[str, str]) -> str:
    """A line for the user: the flag, the variable, or file and key, and what is wrong there."""
    key = ".".join(str(part) for part in path if isinstance(part, str))
    if key in given_by:
        return f"{given_by[key]}: {text}"
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{source}: {dotted}: {text}"


def _check(config: Config) -> None:
    """Check what depends on several values; raises _Refused."""
    problems = _Problems()
    if not config.listen:
        problems.add(("listen",), "[] is not accepted: name an address at least")
    for number, address in enumerate(config.listen):
        wider = next((other for other in config.listen[:number] if _overlap(address, other)), None)
        if wider is not None:
            text = f"{address!r} and {wider!r} are the same port of the same addresses: leave one out"
            problems.add(("listen", number), text)
    for number, rule in enumerate(config.rules):
        # The cache key is needed before there is a response: such a rule would never apply.
        if rule.query != "keep" and (rule.match.status or rule.match.content_type):
            text = f"{rule.query!r} is accepted only without match.status and match.content_type"
            problems.add(("rules", number, "query"), text)
    problems.raise_any()


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses cannot both be listened on: they are equal, or one includes the other."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if "unix:" in (one[:5], other[:5]) or port != other_port:
        return one == other
    hosts = {host, other_host}
    return len(hosts) == 1 or "[::]" in hosts or ("0.0.0.0" in hosts and not any("[" in h for h in hosts))


def _read(kind: Any, value: Any, path: KeyPath) -> Any:
    """The value converted to the annotated type; raises _Refused."""
    if get_origin(kind) in _OPTIONAL:
        return None if value is None else _read(get_args(kind)[0], value, path)
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return (_read(get_args(kind)[0], value, path),)
        problems = _Problems()
        items = [problems.read(get_args(kind)[0], item, (*path, n)) for n, item in enumerate(value)]
        problems.raise_any()
        return tuple(items)
    if _is_section(kind):
        return _section(kind, value, path)
    try:
        return _notation(kind).read(value)
    except (ValueError, OverflowError) as error:
        raise _Refused((path, str(error))) from error


def _section(kind: Any, value: Any, path: KeyPath) -> Any:
    accepted = {info.encode_name: info for info in fields(kind)}
    if kind in _SHORT_FORMS and isinstance(value, str):
        value = {_SHORT_FORMS[kind]: value}
    if not isinstance(value, dict):
        raise _Refused((path, f"{value!r} is not a section: keys with values, of {', '.join(accepted)}"))
    problems, read = _Problems(), {}
    for key, item in value.items():
        info = accepted.get(key)
        if info is None:
            near = get_close_matches(str(key), accepted, 1)
            hint = f", did you mean {near[0]}" if near else ""
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


def _written(kind: Any, value: Any) -> Any:
    """The value as plain YAML data, which _read() reads to an equal one."""
    if value is None:
        return None
    if get_origin(kind) in _OPTIONAL:
        return _written(get_args(kind)[0], value)
    if get_origin(kind) is tuple:
        return [_written(get_args(kind)[0], item) for item in value]
    if _is_section(kind):
        return {info.encode_name: _written(info.type, getattr(value, info.name)) for info in fields(kind)}
    return _notation(kind).write(value)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _notation(kind: Any) -> Notation:
    if get_origin(kind) is Annotated:
        return NOTATIONS[kind.__metadata__[0]]
    if get_origin(kind) is Literal:
        return choice(get_args(kind))
    return NOTATIONS["switch" if kind is bool else "text"]


def _rule(options: RuleOptions) -> Rule:
    """The rule in the form that rules.decide uses; a single status ("404") wins over its class ("4xx")."""
    match = options.match
    codes = frozenset(code for status in match.status for code in status_codes(status))
    by_status: dict[int | None, float] = {}
    ages = options.fresh if isinstance(options.fresh, tuple) else ()
    for status, age in sorted(ages, key=lambda item: item[0].isdigit()):
        by_status.update({None: age} if status == "any" else dict.fromkeys(status_codes(status), age))
    return Rule(
        match=Match(match.host, match.path, codes or None, match.content_type),
        policy=Policy(
            fresh=None if isinstance(options.fresh, tuple) else options.fresh,
            stale_if_error=options.stale_if_error,
            stale_while_revalidate=options.stale_while_revalidate,
            ignore=frozenset(options.ignore),
            no_store=options.no_store,
            store_cookies=options.store_cookies,
            silence=options.silence,
            query=QueryMode(options.query),
        ),
        fresh_by_status=tuple(by_status.items()),
    )
