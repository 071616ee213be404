"""Secrets of the configuration: ${env:NAME} and ${file:PATH} stand for what a variable or a file has."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pyproxycache.configuration.refusals import refusal
from pyproxycache.errors import ConfigError

log = logging.getLogger("pyproxycache.configuration")

ACCEPTED = "${env:NAME} for what is in a variable, or ${file:/PATH} for what is in a file"
_REFERENCE = re.compile(r"\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)|file:((?:/|~/)[^{}\0]+))\}")
_LONGEST = 1 << 20


class SecretPlace(NamedTuple):
    """Where a secret is: the name of a variable, or the path of a file; the other one is empty."""

    variable: str = ""
    path: str = ""


def read_text_with_secrets(value: Any) -> str:
    """A text in which references may stand for secrets; raises ValueError, which quotes nothing of it."""
    if not isinstance(value, str):
        raise refusal(value, "text: put it in quotes")
    list(parts_of(value))
    return value


def read_secret(value: Any) -> str:
    """A text that ends with a reference, so that the secret itself is not in the configuration."""
    # It may be the secret, which nobody is to read in a log.
    if not isinstance(value, str) or not _ends_with_reference(read_text_with_secrets(value)):
        raise ValueError(f"secrets are not written here, but where they are: {ACCEPTED}")
    return value


def _ends_with_reference(text: str) -> bool:
    return bool(text) and isinstance(list(parts_of(text))[-1], SecretPlace)


def parts_of(text: str) -> Iterator[str | SecretPlace]:
    """The text in parts: plain ones, and places of secrets. Raises ValueError."""
    done = 0
    for found in _REFERENCE.finditer(text):
        yield from _plain(text[done : found.start()])
        yield SecretPlace(found[1] or "", found[2] or "")
        done = found.end()
    yield from _plain(text[done:])


def _plain(text: str) -> Iterator[str]:
    if "${" in text:
        raise ValueError(f"what begins with ${{ is no reference to a secret; accepted are {ACCEPTED}")
    if text:
        yield text


def resolved(
    text: str,
    key: str,
    encode: Callable[[str], str] = str,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """The text with the secrets in their places, each encoded; `key` is its path in the configuration.

    Raises ConfigError.
    """
    return "".join(
        part if isinstance(part, str) else encode(secret_at(part, key, environ)) for part in parts_of(text)
    )


def secret_at(place: SecretPlace, key: str, environ: Mapping[str, str] = os.environ) -> str:
    """What the variable or the file has, without ends of lines behind it; raises ConfigError."""
    if place.variable:
        found = environ.get(place.variable)
        if not found:
            raise ConfigError(f"{key}: the variable {place.variable} is not set: set it to the secret")
        return found
    path = Path(place.path).expanduser()
    text = text_of_file(key, path).rstrip("\r\n")
    if not text:
        raise ConfigError(f"{key}: {path}: is empty: write the secret in it")
    return text


def text_of_file(key: str, path: Path) -> str:
    """The text of a file with secrets; warns if everybody can read them. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                log.warning("%s: %s: everybody on this machine can read it: chmod o-r", key, path)
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise ConfigError(f"{key}: {path}: {error.strerror}") from error
    if len(data) > _LONGEST:
        raise ConfigError(f"{key}: {path}: has more than {_LONGEST} bytes, which is no secret")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {path}: is not UTF-8 text") from None
