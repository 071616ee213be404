"""The configuration read from a file and the command line, checked, and written as YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pyproxycache.configuration.checks import check
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.default_places import default_store_path
from pyproxycache.configuration.documents import document_of, put_key
from pyproxycache.configuration.inheritance import flattened, own_problems
from pyproxycache.configuration.sections import KeyPath, Refused, read_section, written
from pyproxycache.errors import ConfigError

FLAGS = {
    "listen": "--listen",
    "upstream": "--upstream",
    "workers": "--workers",
    "threads": "--threads",
    "store.path": "--cache-dir",
    "store.max_size": "--max-size",
    "store.unused": "--unused",
    "fetch.offline": "--offline",
    "log.access": "--access-log",
}
"""The command-line flag of each key that has one."""


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
        document = document_of(text, str(path))
    given = {key: value for key, value in overrides.items() if value is not None and value != ()}
    names = {key: given_by.get(key, key) for key in given}
    for key, value in given.items():
        put_key(document, key, value)
    return _build(document, str(path or "configuration"), names)


def parse(text: str, source: str) -> Config:
    """Read the configuration from YAML text; `source` names the text in errors. Raises ConfigError."""
    return _build(document_of(text, source), source, {})


def dump(config: Config) -> str:
    """The configuration as YAML with every key; parse() reads it to an equal one."""
    return yaml.safe_dump(written(Config, config), sort_keys=False, allow_unicode=True)


def _build(document: dict[Any, Any], source: str, given_by: Mapping[str, str]) -> Config:
    store = document.get("store")
    if store is None or (isinstance(store, dict) and store.get("path") is None):
        put_key(document, "store.path", default_store_path(os.environ))
    try:
        config: Config = read_section(Config, _with_whole_routes(document), ())
        check(config)
    except Refused as refused:
        problems = own_problems(refused.problems)
        lines = [_line(path, text, source, given_by) for path, text in problems]
        raise ConfigError("\n".join(lines)) from refused
    return config


def _with_whole_routes(document: dict[Any, Any]) -> dict[Any, Any]:
    """The document with all routes by their whole paths, and with what they inherit."""
    whole = dict(document)
    if "routes" in whole:
        whole["routes"] = flattened(whole["routes"])
    if isinstance(whole.get("hosts"), dict):
        whole["hosts"] = {
            host: {**said, "routes": flattened(said["routes"])} if _has_routes(said) else said
            for host, said in whole["hosts"].items()
        }
    return whole


def _has_routes(said: object) -> bool:
    return isinstance(said, dict) and "routes" in said


def _line(path: KeyPath, text: str, source: str, given_by: Mapping[str, str]) -> str:
    """A line for the user: the flag, the variable, or file and key, and what is wrong there."""
    key = ".".join(str(part) for part in path if isinstance(part, str))
    if key in given_by:
        return f"{given_by[key]}: {text}"
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{source}: {dotted}: {text}"
