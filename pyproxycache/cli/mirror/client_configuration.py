"""The configuration of this machine's clients: their files and variables, read and never run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pyproxycache.mirrors.clients.client_settings import Environ, Settings
from pyproxycache.mirrors.clients.every_client import KNOWN_CLIENTS, ClientFiles, KnownClient
from pyproxycache.mirrors.clients.named_repositories import NamedRepository, named_by

_MOST_BYTES = 128 << 10
_MOST_FILES = 500
_MOST_URLS = 1000


@dataclass(frozen=True, slots=True)
class Configured:
    """What the clients of a machine are configured with.

    `notes` are lines about what was left out, and why. `unset` names the clients without a repository of
    their own in their configuration.
    """

    repositories: tuple[NamedRepository, ...]
    notes: tuple[str, ...]
    unset: tuple[KnownClient, ...]


def configured(environ: Environ, root: Path = Path("/")) -> Configured:
    """Read the configuration of all known clients below the folder `root`; no error ends it."""
    repositories: list[NamedRepository] = []
    notes: list[str] = []
    unset: list[KnownClient] = []
    for client in KNOWN_CLIENTS:
        told: dict[str, tuple[str, tuple[str, ...]]] = {}
        for where, settings in _settings(client, environ, root, notes):
            # What is read later wins, and its place is where the first one was.
            told |= {key: (where, urls) for key, urls in settings.items()}
        named = [
            named_by(client.ecosystem, urls, _told_by(client, where, key))
            for key, (where, urls) in islice(told.items(), _MOST_URLS)
        ]
        if len(told) > _MOST_URLS:
            notes.append(f"{client.name}: only the first {_MOST_URLS} of {len(told)} settings are read")
        repositories += named
        notes += [f"{one.told_by}: {note}" for one in named for note in one.notes]
        if not any(one.upstreams for one in named):
            unset.append(client)
    return Configured(tuple(repositories), tuple(dict.fromkeys(notes)), tuple(unset))


def _told_by(client: KnownClient, where: str, key: str) -> str:
    """The client, the file, and the setting, unless that is the URL itself, which may have a password."""
    return f"{client.name} ({where})" if "://" in key else f"{client.name} ({where}: {key})"


def _settings(
    client: KnownClient, environ: Environ, root: Path, notes: list[str]
) -> Iterator[tuple[str, Settings]]:
    """Each file of the client, the one that wins last, and then its variables."""
    for files in client.files:
        for path in _paths(files, environ, root):
            try:
                text = read_bounded(path)
                if text is not None:
                    yield str(path), files.read(text, environ)
            except OSError as error:
                notes.append(f"{path} is left out: {error.strerror or error}")
            except ValueError as error:
                notes.append(f"{path} is left out: {error}")
    yield "variables", client.variables(environ)


def _paths(files: ClientFiles, environ: Environ, root: Path) -> list[Path]:
    pattern = files.pattern(environ)
    if pattern is None or "\0" in pattern:
        return []
    below = pattern.lstrip("/")
    if "*" in files.path:
        return sorted(islice(root.glob(below), _MOST_FILES))
    return [root / below]


def read_bounded(path: Path) -> str | None:
    """The text of a file; None if there is none. Raises OSError, and ValueError if it is no small text.

    Pipes and devices are not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            if str(path) == os.devnull:  # clients are told so that they have no file
                return None
            raise ValueError("it is no file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(_MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it is longer than {_MOST_BYTES >> 10} KB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if "\0" in text:
        raise ValueError("it is not text")
    return text
