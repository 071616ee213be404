"""Writes the files by which programs find and trust the cache, and gives the variables that name them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pyproxycache.cli.runs.authorities import (
    authorities_before,
    certificates,
    named_authorities,
    pem_of,
    system_authorities,
    trust_store,
)
from pyproxycache.cli.runs.client_variables import (
    ADDED,
    APT_LAST,
    FILES,
    Around,
    TrustFiles,
    apt_settings,
    variables,
    wget_settings,
)
from pyproxycache.cli.runs.run_folder import write_file
from pyproxycache.cli.runs.surroundings import replacements

_APT_MAIN = Path("/etc/apt/apt.conf")
_FOR_ALL = 0o644


def write_settings(environ: Mapping[str, str], around: Around, authority: bytes | None) -> dict[str, str]:
    """Write the files into the folder of `around`, and return the variables to set.

    `authority` is the certificate of the cache's authority in PEM, None if it intercepts nothing. Raises
    OSError.
    """
    folder = around.folder
    if authority is not None:
        around = replace(around, trust=_write_trust(environ, folder, certificates(authority)))
    main = _APT_MAIN if _APT_MAIN.exists() else None
    first, last = apt_settings(around, environ.get("APT_CONFIG"), main)
    write_file(folder / FILES["APT_CONFIG"], first, _FOR_ALL)
    write_file(folder / APT_LAST, last, _FOR_ALL)
    # For this user alone: it may have passwords.
    write_file(folder / FILES["WGETRC"], wget_settings(environ, around, _wgetrc(environ)))
    settings = variables(environ, around)
    write_file(around.replaced, replacements(environ, settings))
    return settings


def _write_trust(environ: Mapping[str, str], folder: Path, own: list[bytes]) -> TrustFiles:
    """Write the bundles; programs of other users may read them."""
    every = [*own, *system_authorities(), *authorities_before(environ)]
    return TrustFiles(
        bundle=write_file(folder / "bundle.pem", pem_of(every), _FOR_ALL),
        added=write_file(
            folder / "added.pem", pem_of([*own, *named_authorities(environ, ADDED)]), _FOR_ALL
        ),
        trust_store=write_file(folder / "java.p12", trust_store(every), _FOR_ALL),
    )


def _wgetrc(environ: Mapping[str, str]) -> str:
    """What wget would read without these settings: a file that is named, or the user's own."""
    place = environ.get("WGETRC") or os.path.join(environ.get("HOME", ""), ".wgetrc")
    with contextlib.suppress(OSError):
        return Path(place).read_text(errors="surrogateescape")
    return ""
