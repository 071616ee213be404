"""The commands `mirror allow`, `mirror allowed` and `mirror disallow`: releases let through at any age."""

from __future__ import annotations

import fcntl
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict

from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    Command,
    cache_dir_option,
    config_option,
    fail,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.notation import NOTATIONS
from pyproxycache.gates.allowances import FILE, Allowance, read_allowances, written_allowances
from pyproxycache.mirror_options import MirrorOptions, UseOptions
from pyproxycache.mirrors.cooldown.admission import Admission, Naming
from pyproxycache.mirrors.cooldown.known import NAMED
from pyproxycache.store.files.private import open_private
from pyproxycache.store.files.writing import write_all
from pyproxycache.wiring.packages.gating import PRESET, admission_of


def _on_mirrors(command: Command) -> Command:
    """Add --config and --cache-dir; the command gets the `config`."""

    @config_option
    @cache_dir_option
    @functools.wraps(command)
    def wrapped(config_file: Path | None, cache_dir: str | None, **options: Any) -> Any:
        config = load_config(config_file, {"store.path": cache_dir})
        if not (config.store.path / "index.sqlite").exists():
            fail(
                f"there is no cache in {config.store.path}: name it by --cache-dir, or the configuration",
                PROBLEMS,
            )
        return command(config=config, **options)

    return wrapped


@click.command()
@click.argument("name", metavar="MIRROR")
@click.argument("package")
@click.argument("version")
@_on_mirrors
def allow(config: Config, name: str, package: str, version: str) -> None:
    """Let VERSION of PACKAGE through at any age.

    Clients of MIRROR get it a second later, although it is younger than `min_age`. What is in `block` stays
    blocked.
    """
    admission = _admission(config, name)
    try:
        NOTATIONS["blocked package"].read(f"{package}=={version}")
    except ValueError:
        fail(f"{package!r} {version!r} is not a package's name and version, as in example 1.0", WRONG_USAGE)
    if blocked := admission.block(package, version):
        fail(f"{blocked}, which counts whatever is allowed: take it out there", PROBLEMS)
    if admission.min_age is None:
        fail(f"min_age of {name} is not set: all ages are let through", PROBLEMS)
    one = Allowance(name, admission.naming.package(package), admission.naming.version(version))
    with _changing(config.store.path) as allowances:
        allowances.add(one)
    click.echo(f"{name} lets {one.package} {one.version} through at any age")


@click.command()
@click.argument("name", metavar="MIRROR")
@click.argument("package")
@click.argument("version")
@_on_mirrors
def disallow(config: Config, name: str, package: str, version: str) -> None:
    """Take back what `mirror allow` let through, also of a mirror that is not configured any more.

    Files that clients have got stay with them.
    """
    namings = _namings(config, name)
    with _changing(config.store.path) as allowances:
        meant = {
            Allowance(name, one.package(package), one.version(version)) for one in namings
        } & allowances
        if not meant:
            fail(f"{name} has not been told to let {package} {version} through", PROBLEMS)
        allowances -= meant
    for one in sorted(meant):
        click.echo(f"{name} lets {one.package} {one.version} through once it is old enough")


@click.command()
@json_option
@_on_mirrors
def allowed(config: Config, as_json: bool) -> None:
    """List what `mirror allow` lets through."""
    try:
        found = sorted(read_allowances(config.store.path / FILE))
    except (OSError, ValueError) as error:
        fail(f"{config.store.path / FILE} cannot be read: {error}", PROBLEMS)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        click.echo(f"{one.mirror} {one.package} {one.version}")
    if not found:
        click.echo("nothing is let through before its time", err=True)


def _options(config: Config) -> dict[str, list[MirrorOptions | UseOptions]]:
    """What the configuration says of each mirror, and of presets, by the names that commands take."""
    found: dict[str, list[MirrorOptions | UseOptions]] = {
        name: [one] for name, one in config.mirrors.items()
    }
    for one in config.use:
        found.setdefault(f"{PRESET}{one.ecosystem}", []).append(one)
    return found


def _admission(config: Config, name: str) -> Admission:
    options = _options(config)
    if name not in options:
        known = ", ".join(sorted(options)) or "none; name the server's configuration with --config"
        fail(f"there is no mirror {name!r}; in the configuration: {known}", WRONG_USAGE)
    admissions = list(filter(None, (admission_of(name, one) for one in options[name])))
    if not admissions:
        fail(f"min_age of {name} is not set: all ages are let through", PROBLEMS)
    return next((one for one in admissions if one.min_age is not None), admissions[0])


def _namings(config: Config, name: str) -> list[Naming]:
    """How its ecosystem writes names and versions; all ways to do so where it is not configured."""
    known = [NAMED[one.ecosystem] for one in _options(config).get(name, ()) if one.ecosystem in NAMED]
    return known or list(NAMED.values())


@contextmanager
def _changing(folder: Path) -> Iterator[set[Allowance]]:
    """What is let through, to be changed; it is written in one piece, for one command after the other."""
    path = folder / FILE
    try:
        lock = open_private(path.with_suffix(".lock"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            allowances = set(read_allowances(path))
            yield allowances
            _replace(path, written_allowances(allowances))
        finally:
            os.close(lock)
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be changed: {error}", PROBLEMS)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    file = open_private(new, os.O_EXCL)
    try:
        write_all(file, content, 0)
        os.fsync(file)
    finally:
        os.close(file)
    new.replace(path)
