"""The environment around a run: without what a run around this one has set, and as settings of a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyproxycache.cli.runs.client_variables import EXCEPTIONS, REPLACED
from pyproxycache.configuration.notation import NOTATIONS
from pyproxycache.options import ParentException
from pyproxycache.url import Url

# In this order: an https request is what a proxy matters most for.
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")


def replacements(environ: Mapping[str, str], settings: Mapping[str, str]) -> str:
    """The text of the file from which before_replacing() finds what the settings have replaced."""
    return json.dumps({name: [value, environ.get(name)] for name, value in settings.items()})


def before_replacing(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as it was before a run or `env` set variables; what was changed since then stays."""
    found = dict(environ)
    place = found.pop(REPLACED, None)
    if place is None:
        return found
    try:
        replaced = json.loads(Path(place).read_text())
        pairs = [(str(name), str(new), old) for name, (new, old) in replaced.items()]
    except (OSError, ValueError, AttributeError, TypeError):
        return found
    for name, new, old in pairs:
        if found.get(name) == new:
            del found[name]
            if isinstance(old, str):
                found[name] = old
    return found


@dataclass(frozen=True, slots=True)
class ParentOfEnvironment:
    """The proxy that the environment names: its URL, `user:password` or "", and what goes past it."""

    url: Url
    credentials: str
    exceptions: tuple[ParentException, ...]


def parent_of(environ: Mapping[str, str]) -> ParentOfEnvironment | None:
    """The proxy that programs would use without the cache, None if there is none.

    Raises ValueError for one that cannot be a parent, such as a SOCKS proxy.
    """
    name = next((name for name in _PROXIES if environ.get(name)), None)
    if name is None:
        return None
    text = environ[name] if "://" in environ[name] else f"http://{environ[name]}"
    parts = urlsplit(text)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="")
    try:
        url: Url = NOTATIONS["parent url"].read(shown.geturl())
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    hosts = [host.strip() for one in EXCEPTIONS for host in environ.get(one, "").split(",")]
    if "*" in hosts:
        return None
    exceptions = [found for host in hosts if host for found in _exceptions_of(host)]
    return ParentOfEnvironment(url, f"{user}:{password}" if user else "", tuple(dict.fromkeys(exceptions)))


def _exceptions_of(host: str) -> list[ParentException]:
    """What a word of no_proxy stands for: a name, and those below it. A port has no meaning here."""
    name = host.lower().removeprefix("*")
    if name.count(":") == 1:
        name = name.partition(":")[0]
    forms = [name] if name.startswith(".") else [name, f".{name}"]
    found = []
    for form in forms:
        try:
            found.append(NOTATIONS["host or network"].read(form))
        except ValueError:
            continue
    return found
