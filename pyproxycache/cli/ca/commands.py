"""The commands `ca init`, `ca show`, `ca export` and `ca install`."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import click

from pyproxycache import clock
from pyproxycache.cli.ca.system_store import StoreFailed, SystemStore, find_store
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    Command,
    config_option,
    fail,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.configuration.default_places import default_authority_path
from pyproxycache.errors import ConfigError
from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.client_trust import ways_to_trust
from pyproxycache.tls.subject_names import domain_name

_FORMATS = {"pem": (".pem", ".crt"), "der": (".der", ".cer"), "p12": (".p12", ".pfx")}
_STANDARD_OUTPUT = "-"
_FILE = "ca.pem"


@click.group()
def ca() -> None:
    """Make and show the certificate authority.

    It signs the certificates with which the cache answers in the place of the hosts in `intercept`. Clients
    have to trust it.
    """


def _on_folder(command: Command) -> Command:
    """Add --config and --folder; the command gets the `folder`, by default that which `serve` uses."""

    @config_option
    @click.option(
        "--folder",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where the authority is.  [default: intercept.ca, else the service's own, or the user's]",
    )
    @functools.wraps(command)
    def wrapped(config_file: Path | None, folder: Path | None, **options: Any) -> Any:
        return command(folder=_chosen(folder, config_file), **options)

    return wrapped


def _chosen(folder: Path | None, config_file: Path | None) -> Path:
    if folder is not None:
        return folder.absolute()
    configured = None if config_file is None else load_config(config_file, {}).intercept.ca
    try:
        return configured or default_authority_path(os.environ)
    except ConfigError as error:
        fail(f"{error}, by --folder", WRONG_USAGE)


@ca.command()
@_on_folder
@click.option(
    "--permit",
    metavar="DOMAIN",
    multiple=True,
    help="Let it sign for this domain and the names below it, and for no others; several may be given.",
)
def init(folder: Path, permit: tuple[str, ...]) -> None:
    """Make the authority, once.

    One that is there is never replaced. Its key is readable for one user, who runs the server: as root,
    make it in a folder of that user.
    """
    for domain in permit:
        try:
            domain_name(domain)
        except ValueError as error:
            told = f"{error}; write it as in example.org"
            raise click.BadParameter(told, param_hint="--permit") from error
    for path in (folder, *folder.parents):
        if (path / "index.sqlite").exists():
            fail(
                f"{folder} is in the cache {path}, which may be removed at any time: name another", PROBLEMS
            )
    try:
        made = CertificateAuthority.create(folder, clock.wall(), permit)
    except ConfigError as error:
        fail(str(error), PROBLEMS)
    click.echo(f"made a certificate authority in {folder}")
    _print_about(made, folder)
    click.echo(
        "clients have to trust it: `pyproxycache ca install` on this machine, `ca export` for others"
    )


@ca.command()
@_on_folder
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Show the authority.

    Whose it is, its fingerprint, and what it may sign. The exit status is 1 if it has expired, or if there
    is none that can be used.
    """
    authority = _loaded(folder)
    warning = authority.warning(clock.wall())
    if as_json:
        begin, end = authority.validity
        print_json(
            {
                "subject": authority.subject,
                "sha256": authority.fingerprint.replace(":", "").lower(),
                "not_before": int(begin),
                "not_after": int(end),
                "permitted": list(authority.names.domains),
                "folder": str(folder),
            }
        )
    else:
        _print_about(authority, folder)
    if warning is not None:
        click.echo(f"pyproxycache: {warning}", err=True)
        if clock.wall() > authority.validity.end:
            raise SystemExit(PROBLEMS)


@ca.command()
@_on_folder
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMATS)),
    help="What is written.  [default: what the name of FILE ends with, else pem]",
)
@click.argument("file", default=_STANDARD_OUTPUT, type=click.Path(allow_dash=True, dir_okay=False))
def export(folder: Path, form: str | None, file: str) -> None:
    """Write the authority's certificate.

    To FILE, or to standard output; its key is never written. The p12 has no password, and is a trust store
    of Java, too.
    """
    authority = _loaded(folder)
    chosen = form or next((name for name, ends in _FORMATS.items() if file.lower().endswith(ends)), "pem")
    content = {"pem": authority.pem, "der": authority.der, "p12": authority.p12}[chosen]
    if file == _STANDARD_OUTPUT:
        if chosen != "pem" and sys.stdout.isatty():
            fail(f"a terminal shows no {chosen}: name a FILE", WRONG_USAGE)
        sys.stdout.buffer.write(content)
        return
    try:
        Path(file).write_bytes(content)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", PROBLEMS)


@ca.command()
@_on_folder
@click.option("--remove", is_flag=True, help="Take it out of the system's store again.")
def install(folder: Path, remove: bool) -> None:
    """Have this machine trust the authority.

    By the system's store, which most programs use. Says how others are told, and other systems.
    """
    authority = _loaded(folder)
    store = find_store()
    if store is None:
        _print_by_hand(authority, None)
        fail("this system has no store that is known here: do it by hand", PROBLEMS)
    path = store.path_of(authority.fingerprint)
    try:
        if remove:
            was_there = store.remove(authority.fingerprint)
            click.echo(f"removed {path}" if was_there else f"{path} is not there: nothing to remove")
            return
        store.install(authority.fingerprint, authority.pem)
    except StoreFailed as error:
        fail(_with_root(str(error), folder, remove), PROBLEMS)
    click.echo(f"programs that use the system's store trust it now: {path}")
    _print_by_hand(authority, store)


def _with_root(text: str, folder: Path, remove: bool) -> str:
    if os.geteuid() == 0:
        return text
    return f"{text}; as root: pyproxycache ca install{' --remove' * remove} --folder {folder}"


def _print_by_hand(authority: CertificateAuthority, store: SystemStore | None) -> None:
    click.echo("programs with a store of their own, and other systems:")
    if store is None:
        click.echo(f"  {'the file':9} pyproxycache ca export {_FILE}")
    file = _FILE if store is None else str(store.path_of(authority.fingerprint))
    for who, how in ways_to_trust(file):
        click.echo(f"  {who:9} {how}")


def _loaded(folder: Path) -> CertificateAuthority:
    try:
        return CertificateAuthority.load(folder)
    except ConfigError as error:
        fail(str(error), PROBLEMS)


def _print_about(authority: CertificateAuthority, folder: Path) -> None:
    for name, value in (
        ("subject", authority.subject),
        ("sha256", authority.fingerprint),
        ("valid", str(authority.validity)),
        ("may sign", str(authority.names)),
        ("folder", str(folder)),
    ):
        click.echo(f"  {name:9} {value}")
