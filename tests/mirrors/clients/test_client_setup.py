"""What sets clients up is what they read: their own forms, read back."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.clients.client_settings import Settings
from pyproxycache.mirrors.clients.client_setup import ClientSetup, MirrorAddress, client_setups
from pyproxycache.mirrors.clients.every_client import KNOWN_CLIENTS

ECOSYSTEMS = {one.ecosystem for one in KNOWN_CLIENTS}
PLAIN = MirrorAddress("http://cache.test:3128", "a-b", "https://up.test/")
READ = {client.name: client for client in KNOWN_CLIENTS}
SETUPS = [one for ecosystem in sorted(ECOSYSTEMS) for one in client_setups(ecosystem, PLAIN)]


def urls(settings: Settings) -> set[str]:
    return {url for named in settings.values() for url in named}


def index(setup: ClientSetup) -> str:
    if setup.client == "docker":
        return PLAIN.cache
    if setup.client == "containerd":
        return PLAIN.url.rstrip("/")
    return f"{PLAIN.url}simple/" if setup.client in ("pip", "uv") else PLAIN.url


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.client)
def test_files_are_read_back(setup: ClientSetup) -> None:
    client = READ["yarn" if setup.client == "yarn 1" else setup.client]
    text = "\n".join((*setup.lines, ""))
    if setup.client == "apt":
        text = f"Types: deb\n{text}Suites: x\n"
    end = setup.file.rpartition("/")[2].removeprefix("*")
    readers = [one.read for one in client.files if one.path.endswith(end)]
    assert readers
    assert urls(readers[-1](text, {})) == {index(setup)}


@pytest.mark.parametrize("setup", [one for one in SETUPS if one.variables], ids=lambda setup: setup.client)
def test_variables_are_read_back(setup: ClientSetup) -> None:
    client = READ["npm" if setup.client == "yarn 1" else setup.client]
    assert urls(client.variables(setup.variables)) == {index(setup)}


def test_every_ecosystem_with_known_clients_is_set_up() -> None:
    assert {one.client.split()[0] for one in SETUPS} == {one.name for one in KNOWN_CLIENTS}


def test_where_containerd_looks() -> None:
    named = MirrorAddress("http://cache.test", "hub", "https://up.test:81/", "images.test")
    assert client_setups("oci", named)[0].file == "/etc/containerd/certs.d/images.test/hosts.toml"
    unnamed = MirrorAddress("http://cache.test", "hub", "https://up.test:81/")
    assert client_setups("oci", unnamed)[0].file == "/etc/containerd/certs.d/up.test:81/hosts.toml"


def test_over_tls_nothing_is_to_be_trusted() -> None:
    secure = MirrorAddress("https://cache.test", "py", "https://up.test/")
    assert client_setups("pypi", secure)[0].variables == {"PIP_INDEX_URL": "https://cache.test/py/simple/"}
    assert "http:" not in str([client_setups(one, secure) for one in ECOSYSTEMS])


def test_other_ecosystems_have_the_url_alone() -> None:
    assert client_setups("generic", PLAIN) == ()
