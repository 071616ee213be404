"""The configuration as it is shown by network: what may be a secret in plain is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import yaml

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.secrets import SecretPlace, parts_of
from pyproxycache.configuration.sections import KeyPath, written
from pyproxycache.route_options.route import RouteOptions

_HIDDEN = "***"
_SECRET = r"(?i:auth|token|key|secret|passw|pwd|cookie|credential|session|signature)"
_SECRET_NAME = re.compile(_SECRET)
_OF_URL = re.compile(r"(?P<before>[?&][^=&#]*=)[^&#]+")
_OF_FORM = re.compile(rf"(?P<before>(?:^|&)[^=&]*{_SECRET}[^=&]*=)[^&]+")
_OF_JSON = re.compile(rf'(?P<before>"[^"]*{_SECRET}[^"]*"\s*:\s*")[^"]+')
_ORIGIN = re.compile(r"[a-z]+://[^/?#]+/?")
# What may be shown: where a secret is, and where the client's token is put.
_PLACES = re.compile(r"\$\{[^}]*\}|\{token\}")

_Hide = Callable[[str], str]


def shown_config(config: Config) -> str:
    """The configuration as YAML with every key."""
    return yaml.safe_dump(_shown(written(Config, config), ()), sort_keys=False, allow_unicode=True)


def shown_routes(config: Config) -> str:
    """The routes of a gateway as JSON, each with its host and path and what it has inherited."""
    routes = [
        {"host": host, "path": path, "options": _shown(written(RouteOptions, options), ())}
        for host, path, options in config.all_routes()
    ]
    return json.dumps(routes, indent=2) + "\n"


def _shown(value: Any, path: KeyPath) -> Any:
    """The plain data of what is at the path."""
    if isinstance(value, dict):
        return {key: _shown(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, (*path, number)) for number, item in enumerate(value)]
    hide = _hiding(path)
    return hide(value) if hide is not None and isinstance(value, str) else value


def _hiding(path: KeyPath) -> _Hide | None:
    """What leaves out secrets in plain of the text at the path; None where there can be none."""
    match path:
        case (*_, "headers", "request" | "response", "set", name) | (*_, "endpoint", "headers", name):
            return _whole if _SECRET_NAME.search(str(name)) else None
        case (*_, "webhook", "url"):
            return _behind_origin
        case (*_, "endpoint", "body"):
            return _of_body
        case (*_, "endpoint", "url") | (*_, "jwt", "jwks") | (*_, "health", "path"):
            return partial(_values, _OF_URL)
    return None


def _whole(text: str) -> str:
    """Where the secret is, if it is not here."""
    return text if any(isinstance(part, SecretPlace) for part in parts_of(text)) else _HIDDEN


def _behind_origin(url: str) -> str:
    """The URL of a webhook, in which any part of the path may be the secret, and all of the query."""
    origin = _ORIGIN.match(url)
    assert origin is not None, "the configuration has been checked"
    path, mark, query = url[origin.end() :].partition("?")
    parts = [part if not part or _PLACES.search(part) else _HIDDEN for part in path.split("/")]
    return origin[0] + "/".join(parts) + _values(_OF_URL, mark + query)


def _of_body(text: str) -> str:
    return _values(_OF_JSON, _values(_OF_FORM, text))


def _values(pattern: re.Pattern[str], text: str) -> str:
    """The text without the values that the pattern finds, but for those that are only places."""

    def hidden(found: re.Match[str]) -> str:
        before, whole = found["before"], found[0]
        return whole if _PLACES.search(whole[len(before) :]) else f"{before}{_HIDDEN}"

    return pattern.sub(hidden, text)
