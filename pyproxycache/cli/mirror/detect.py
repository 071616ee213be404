"""The command `mirror detect`: which repositories the clients of this machine are configured with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import click
import yaml

from pyproxycache.cli.address import usable_address
from pyproxycache.cli.common import config_option, json_option, load_config, print_json, printable
from pyproxycache.cli.mirror.client_configuration import Configured, configured
from pyproxycache.configuration.config import Config
from pyproxycache.mirrors.clients.named_repositories import ProposedMirror, proposed
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS


@click.command()
@config_option
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Look at the system in this folder, such as an image, in place of this one and its variables.",
)
@json_option
def detect(config_file: Path | None, root: Path | None, as_json: bool) -> None:
    """Print the mirrors of what this machine's clients use, to be pasted into the configuration.

    Reads the files and variables of pip, uv, npm, pnpm, yarn, apt, cargo, Go, Maven, containerd, Docker,
    conda, bundler and gem, and runs none of them. Passwords in URLs are left out. What was not read is
    said on standard error.
    """
    environ = os.environ if root is None else {"HOME": "/root"}
    found = configured(environ, Path("/") if root is None else root.absolute())
    own = _origins(load_config(config_file, {}))
    repositories = [one for one in found.repositories if not own & {url.origin for url in one.upstreams}]
    mirrors = proposed(repositories, ECOSYSTEMS)
    notes = [
        f"{one.told_by}: uses this cache already" for one in found.repositories if one not in repositories
    ]
    notes += found.notes
    for note in notes:
        click.echo(f"pyproxycache: {printable(note)}", err=True)
    defaults = _with_defaults(found, root)
    if as_json:
        print_json(
            {
                "mirrors": {one.name: _section(one) for one in mirrors},
                "told_by": {one.name: list(one.told_by) for one in mirrors},
                "defaults": defaults,
                "notes": notes,
            }
        )
        return
    if not mirrors:
        click.echo("pyproxycache: no client's configuration names a repository to mirror", err=True)
    for line in (*_lines(mirrors), *(f"# {name}: its default; name the upstream" for name in defaults)):
        click.echo(line)


def _origins(config: Config) -> set[str]:
    """The origins by which clients here reach the cache."""
    found = {config.public_url.origin} if config.public_url else set()
    for listener in config.listen:
        address = usable_address((listener.address,))
        if address is not None:
            port = address.rpartition(":")[2]
            found |= {f"{listener.scheme}://{host}" for host in (address, f"localhost:{port}")}
    return found


def _with_defaults(found: Configured, root: Path | None) -> list[str]:
    """The installed clients that use what they come with."""
    path = (
        None if root is None else os.pathsep.join(str(root / one) for one in ("usr/bin", "usr/local/bin"))
    )
    return [client.name for client in found.unset if shutil.which(client.program, path=path)]


def _section(mirror: ProposedMirror) -> dict[str, object]:
    urls = [str(url) for url in mirror.upstreams]
    return {"ecosystem": mirror.ecosystem, "upstream": urls[0] if len(urls) == 1 else urls}


def _lines(mirrors: Iterable[ProposedMirror]) -> list[str]:
    """The lines of YAML; those of JSON are such, too, and need no other quotes."""
    lines = []
    for one in mirrors:
        lines += [f"  # {printable(who)}" for who in one.told_by]
        section = _section(one)
        text = ", ".join(f"{key}: {_value(value)}" for key, value in section.items())
        name = one.name if yaml.safe_load(one.name) == one.name else json.dumps(one.name)
        lines.append(f"  {name}: {{{text}}}")
    return ["mirrors:", *lines] if lines else []


def _value(value: object) -> str:
    return str(value) if isinstance(value, str) and value.isalnum() else json.dumps(value)
