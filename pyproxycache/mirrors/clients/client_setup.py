"""How clients are set up to use a mirror: by variables, by a command of their own, or in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class MirrorAddress:
    """A mirror as its clients reach it: the cache's URL without a path, and the mirror's name there.

    `upstream` is the first URL that it mirrors, `registry` the name by which clients know a registry of
    images; "": the upstream's host.
    """

    cache: str
    name: str
    upstream: str
    registry: str = ""

    @property
    def url(self) -> str:
        """The mirror's URL, with a slash at its end."""
        return f"{self.cache}/{self.name}/"

    @property
    def host(self) -> str:
        """The cache's host, with its port if it is not the scheme's, as pip and yarn compare it."""
        return urlsplit(self.cache).netloc

    @property
    def is_plain(self) -> bool:
        """Whether clients reach it without TLS, which some have to be told to accept."""
        return self.cache.startswith("http://")


@dataclass(frozen=True, slots=True)
class ClientSetup:
    """What sets one client up: the variables, else the command, else the lines of the file do it alone.

    What it has none of is empty.
    """

    client: str
    variables: dict[str, str] = field(default_factory=dict)
    command: str = ""
    file: str = ""
    lines: tuple[str, ...] = ()


def _pip(mirror: MirrorAddress) -> ClientSetup:
    index = f"{mirror.url}simple/"
    trusted = {"PIP_TRUSTED_HOST": mirror.host} if mirror.is_plain else {}
    lines = ["[global]", f"index-url = {index}", *(f"trusted-host = {one}" for one in trusted.values())]
    commands = [f"pip config set global.index-url {index}"]
    commands += [f"pip config set global.trusted-host {one}" for one in trusted.values()]
    return ClientSetup(
        "pip",
        {"PIP_INDEX_URL": index, **trusted},
        " && ".join(commands),
        "~/.config/pip/pip.conf",
        tuple(lines),
    )


def _uv(mirror: MirrorAddress) -> ClientSetup:
    index = f"{mirror.url}simple/"
    lines = ("[[index]]", f'url = "{index}"', "default = true")
    return ClientSetup("uv", {"UV_DEFAULT_INDEX": index}, "", "~/.config/uv/uv.toml", lines)


def _yarn(mirror: MirrorAddress) -> ClientSetup:
    name = urlsplit(mirror.cache).hostname or ""
    lines = [f'npmRegistryServer: "{mirror.url}"']
    variables = {"YARN_NPM_REGISTRY_SERVER": mirror.url}
    if mirror.is_plain:
        variables["YARN_UNSAFE_HTTP_WHITELIST"] = name
        lines.append(f'unsafeHttpWhitelist: ["{name}"]')
    return ClientSetup("yarn", variables, "", "~/.yarnrc.yml", tuple(lines))


def _apt(mirror: MirrorAddress) -> ClientSetup:
    lines = (f"# in place of {mirror.upstream}", f"URIs: {mirror.url}")
    return ClientSetup("apt", {}, "", "/etc/apt/sources.list.d/*.sources", lines)


def _apk(mirror: MirrorAddress) -> ClientSetup:
    lines = (f"# in place of {mirror.upstream}", mirror.url)
    return ClientSetup("apk", {}, "", "/etc/apk/repositories", lines)


def _dnf(mirror: MirrorAddress) -> ClientSetup:
    lines = (f"# in place of {mirror.upstream}, and of metalink and mirrorlist", f"baseurl={mirror.url}")
    return ClientSetup("dnf", {}, "", "/etc/yum.repos.d/*.repo", lines)


def _cargo(mirror: MirrorAddress) -> ClientSetup:
    lines = (
        "[source.crates-io]",
        f'replace-with = "{mirror.name}"',
        f'[source."{mirror.name}"]',
        f'registry = "sparse+{mirror.url}"',
    )
    return ClientSetup("cargo", {}, "", "~/.cargo/config.toml", lines)


def _maven(mirror: MirrorAddress) -> ClientSetup:
    inside = f"<id>{mirror.name}</id><mirrorOf>*</mirrorOf><url>{mirror.url}</url>"
    line = f"<settings><mirrors><mirror>{inside}</mirror></mirrors></settings>"
    return ClientSetup("maven", {}, "", "~/.m2/settings.xml", (line,))


def _bundler(mirror: MirrorAddress) -> ClientSetup:
    command = f"bundle config set --global mirror.{mirror.upstream} {mirror.url}"
    variables = {"BUNDLE_MIRROR__ALL": mirror.url}
    return ClientSetup(
        "bundler", variables, command, "~/.bundle/config", ("---", f'BUNDLE_MIRROR__ALL: "{mirror.url}"')
    )


def _gem(mirror: MirrorAddress) -> ClientSetup:
    command = f"gem sources --add {mirror.url} --remove {mirror.upstream}"
    return ClientSetup("gem", {}, command, "~/.gemrc", (":sources:", f"- {mirror.url}"))


def _huggingface(mirror: MirrorAddress) -> ClientSetup:
    return ClientSetup("huggingface", {"HF_ENDPOINT": mirror.url.rstrip("/")})


def _containerd(mirror: MirrorAddress) -> ClientSetup:
    registry = mirror.registry or urlsplit(mirror.upstream).netloc
    lines = (f'[host."{mirror.url.rstrip("/")}"]', '  capabilities = ["pull", "resolve"]')
    file = f"/etc/containerd/certs.d/{registry}/hosts.toml"
    return ClientSetup("containerd", {}, "", file, lines)


def _docker(mirror: MirrorAddress) -> ClientSetup:
    # It takes no path: the first mirror of images answers.
    line = f'{{"registry-mirrors": ["{mirror.cache}"]}}'
    return ClientSetup("docker", {}, "", "/etc/docker/daemon.json", (line,))


def _by_url(
    client: str, variable: str, command: str, file: str, line: str
) -> Callable[[MirrorAddress], ClientSetup]:
    """The setup of a client that takes the mirror's URL; it stands in place of {} in command and line."""

    def setup(mirror: MirrorAddress) -> ClientSetup:
        url = mirror.url
        return ClientSetup(client, {variable: url}, command.format(url), file, (line.format(url),))

    return setup


_REGISTRY = "npm_config_registry"  # which yarn 1 and pnpm read, too
_npm = _by_url("npm", _REGISTRY, "npm config set registry {}", "~/.npmrc", "registry={}")
_pnpm = _by_url("pnpm", _REGISTRY, "pnpm config set registry {}", "~/.npmrc", "registry={}")
_yarn_1 = _by_url("yarn 1", _REGISTRY, "yarn config set registry {}", "~/.yarnrc", 'registry "{}"')
_go = _by_url("go", "GOPROXY", "go env -w GOPROXY={}", "~/.config/go/env", "GOPROXY={}")
_conda = _by_url(
    "conda",
    "CONDA_CHANNEL_ALIAS",
    "conda config --set channel_alias {}",
    "~/.condarc",
    "channel_alias: {}",
)

_SETUPS: dict[str, tuple[Callable[[MirrorAddress], ClientSetup], ...]] = {
    "pypi": (_pip, _uv),
    "npm": (_npm, _pnpm, _yarn_1, _yarn),
    "apt": (_apt,),
    "apk": (_apk,),
    "dnf": (_dnf,),
    "cargo": (_cargo,),
    "go": (_go,),
    "maven": (_maven,),
    "rubygems": (_bundler, _gem),
    "oci": (_containerd, _docker),
    "conda": (_conda,),
    "huggingface": (_huggingface,),
}


def client_setups(ecosystem: str, mirror: MirrorAddress) -> tuple[ClientSetup, ...]:
    """What sets up each client of the ecosystem; () if its clients take the mirror's URL as it is."""
    return tuple(setup(mirror) for setup in _SETUPS.get(ecosystem, ()))
