"""Which clients there are, where each has its configuration, and how that is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.mirrors.clients.apt_sources import sources_list, sources_stanzas
from pyproxycache.mirrors.clients.cargo_config import cargo_file, cargo_variables
from pyproxycache.mirrors.clients.client_settings import Environ, Read, Settings, no_settings
from pyproxycache.mirrors.clients.conda_channels import conda_variables, condarc
from pyproxycache.mirrors.clients.container_runtimes import (
    containerd_config,
    containerd_hosts,
    docker_file,
)
from pyproxycache.mirrors.clients.go_env import go_file, go_variables
from pyproxycache.mirrors.clients.javascript_clients import (
    npm_variables,
    npmrc,
    yarn_variables,
    yarnrc,
    yarnrc_yml,
)
from pyproxycache.mirrors.clients.maven_settings import maven_file
from pyproxycache.mirrors.clients.python_clients import pip_file, pip_variables, uv_file, uv_variables
from pyproxycache.mirrors.clients.ruby_clients import bundle_file, bundle_variables, gemrc

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
# Folders where a variable that is not set leads to.
_USUAL = {
    "XDG_CONFIG_HOME": "~/.config",
    "CARGO_HOME": "~/.cargo",
    "BUNDLE_USER_HOME": "~/.bundle",
    "MAVEN_HOME": "/usr/share/maven",
}


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """Files of one form: how they are read, and their path, with wildcards, ~ and variables ($NAME)."""

    path: str
    read: Read

    def pattern(self, environ: Environ) -> str | None:
        """The path for a client with these variables; None if one that it needs is not set."""
        names = _VARIABLE.findall(self.path)
        values = {name: environ.get(name) or _USUAL.get(name) for name in names}
        if not all(values.values()):
            return None
        path = _VARIABLE.sub(lambda found: str(values[found[1]]), self.path)
        if path.startswith("~/"):
            path = f"{environ.get('HOME', '')}{path[1:]}"
        return path if path.startswith("/") else None


@dataclass(frozen=True, slots=True)
class KnownClient:
    """A client by its name: its program, its ecosystem, and where its configuration is.

    Of its files the later ones win, and its variables over them.
    """

    name: str
    program: str
    ecosystem: str
    files: tuple[ClientFiles, ...]
    variables: Callable[[Environ], Settings] = no_settings


def _all(read: Read, *paths: str) -> tuple[ClientFiles, ...]:
    return tuple(ClientFiles(path, read) for path in paths)


_NPMRC = _all(
    npmrc, "/usr/etc/npmrc", "/usr/local/etc/npmrc", "/etc/npmrc", "~/.npmrc", "$NPM_CONFIG_USERCONFIG"
)

KNOWN_CLIENTS = (
    KnownClient(
        "pip",
        "pip",
        "pypi",
        _all(
            pip_file,
            "/etc/xdg/pip/pip.conf",
            "/etc/pip.conf",
            "~/.pip/pip.conf",
            "$XDG_CONFIG_HOME/pip/pip.conf",
            "$VIRTUAL_ENV/pip.conf",
            "$PIP_CONFIG_FILE",
        ),
        pip_variables,
    ),
    KnownClient(
        "uv",
        "uv",
        "pypi",
        _all(
            uv_file,
            "/etc/xdg/uv/uv.toml",
            "/etc/uv/uv.toml",
            "$XDG_CONFIG_HOME/uv/uv.toml",
            "$UV_CONFIG_FILE",
        ),
        uv_variables,
    ),
    KnownClient("npm", "npm", "npm", _NPMRC, npm_variables),
    KnownClient("pnpm", "pnpm", "npm", (*_NPMRC, *_all(npmrc, "$XDG_CONFIG_HOME/pnpm/rc")), npm_variables),
    KnownClient(
        "yarn",
        "yarn",
        "npm",
        (*_all(yarnrc, "/etc/yarnrc", "~/.yarnrc"), *_all(yarnrc_yml, "~/.yarnrc.yml")),
        yarn_variables,
    ),
    KnownClient(
        "apt",
        "apt-get",
        "apt",
        (
            *_all(sources_list, "/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list"),
            *_all(sources_stanzas, "/etc/apt/sources.list.d/*.sources"),
        ),
    ),
    KnownClient(
        "cargo",
        "cargo",
        "cargo",
        _all(cargo_file, "$CARGO_HOME/config", "$CARGO_HOME/config.toml"),
        cargo_variables,
    ),
    KnownClient("go", "go", "go", _all(go_file, "$XDG_CONFIG_HOME/go/env", "$GOENV"), go_variables),
    KnownClient(
        "maven",
        "mvn",
        "maven",
        _all(maven_file, "$MAVEN_HOME/conf/settings.xml", "/etc/maven/settings.xml", "~/.m2/settings.xml"),
    ),
    KnownClient(
        "containerd",
        "containerd",
        "oci",
        (
            *_all(containerd_config, "/etc/containerd/config.toml"),
            *_all(containerd_hosts, "/etc/containerd/certs.d/*/hosts.toml"),
        ),
    ),
    KnownClient("docker", "dockerd", "oci", _all(docker_file, "/etc/docker/daemon.json")),
    KnownClient(
        "conda",
        "conda",
        "conda",
        _all(
            condarc,
            "/etc/conda/.condarc",
            "/etc/conda/condarc",
            "$CONDA_ROOT/.condarc",
            "$XDG_CONFIG_HOME/conda/.condarc",
            "~/.conda/.condarc",
            "~/.condarc",
            "$CONDARC",
        ),
        conda_variables,
    ),
    KnownClient(
        "bundler",
        "bundle",
        "rubygems",
        _all(bundle_file, "$BUNDLE_USER_HOME/config", "$BUNDLE_USER_CONFIG", "$BUNDLE_APP_CONFIG/config"),
        bundle_variables,
    ),
    KnownClient(
        "gem", "gem", "rubygems", _all(gemrc, "/etc/gemrc", "~/.gemrc", "$XDG_CONFIG_HOME/gem/gemrc")
    ),
)
"""All whose configuration is read, each by its name."""
