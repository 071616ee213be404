"""The configuration of a private server: what the user has configured, but for who may ask, and how."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest
import trustme

from pyproxycache.cli.runs.private_config import private_config
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import dump, parse
from pyproxycache.errors import ConfigError
from pyproxycache.options import ParentOptions

ADDRESS = "127.0.0.1:4321"


def made(text: str, folder: Path, **environ: str) -> Config:
    config = parse(f"store: {{path: /srv/cache}}\n{dedent(text)}", "test")
    return private_config(
        config, environ, folder, ADDRESS, authority=folder / "ca", accounts=("daemon",), offline=False
    )


def test_nothing_of_a_server_for_others_is_left(tmp_path: Path) -> None:
    text = """
        listen: ['0.0.0.0:3128', {address: '0.0.0.0:3129', tls: {certificate: /c, key: /k}}]
        allow: 10.0.0.0/8
        proxy_auth: {users: /u}
        log: {access: /var/log/access.log, format: squid}
        fetch: {tls_verify: false}
    """
    config = made(text, tmp_path)
    assert config.all_addresses == (ADDRESS,)
    assert {str(network) for network in config.allow} == {"127.0.0.0/8", "::1/128"}
    assert config.allow_accounts is not None
    assert {str(os.geteuid()), "daemon"} <= {*config.allow_accounts}
    assert config.workers == 1
    assert (config.proxy_auth, config.upstream, config.fetch.tls_verify) == (None, None, True)
    assert (config.log.access, config.log.format) == ("-", "json")
    assert (config.intercept.hosts, config.intercept.ca) == (("*",), tmp_path / "ca")
    assert parse(dump(config), "written") == config  # it is one that a user could have written
    others = """
        transparent: {http: '0.0.0.0:3130'}
        admin: {listen: '127.0.0.1:3131'}
    """
    assert made(others, tmp_path).all_addresses == (ADDRESS,)
    gateway = """
        routes: {/: {upstream: 'http://a.example'}}
        hosts: {b.example: {routes: {/: {upstream: 'http://b.example'}}}}
    """
    assert made(gateway, tmp_path).is_forward


def test_what_the_user_has_configured_stays(tmp_path: Path) -> None:
    text = """
        intercept: {hosts: [a.example], except: [.b.example]}
        parent: http://corp:8080
        rules: [{match: {path: x}, fresh: 1d}]
        fetch: {tries: 3}
        memory: 1M
    """
    config = made(text, tmp_path, http_proxy="http://other:1")
    assert config.intercept.exceptions == (".b.example",)
    assert (config.store.path, config.memory, config.fetch.tries) == (Path("/srv/cache"), 1 << 20, 3)
    assert config.parent is not None
    assert config.parent.url.host == "corp"
    assert len(config.rules) == 1


def test_the_environment_s_proxy_and_authorities(tmp_path: Path) -> None:
    own, configured = trustme.CA().cert_pem.bytes(), trustme.CA().cert_pem.bytes()
    (tmp_path / "own.pem").write_bytes(own)
    (tmp_path / "configured.pem").write_bytes(configured)
    environ = {"https_proxy": "http://me:secret@corp:8080", "PIP_CERT": str(tmp_path / "own.pem")}
    config = made(f"fetch: {{ca_file: {tmp_path}/configured.pem}}", tmp_path, **environ)
    assert isinstance(config.parent, ParentOptions)
    credentials = tmp_path / "parent"
    assert config.parent.credentials == credentials
    assert (credentials.read_text(), credentials.stat().st_mode & 0o777) == ("me:secret\n", 0o600)
    assert config.fetch.ca_file is not None
    assert config.fetch.ca_file.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert made("", tmp_path).fetch.ca_file is None


def test_what_cannot_be_taken_over_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="the environment's proxy cannot be the parent of the cache: all_proxy"
    ):
        made("", tmp_path, all_proxy="socks5://corp:1080")
    with pytest.raises(ConfigError, match=r"fetch.ca_file: /no/file: No such file"):
        made("fetch: {ca_file: /no/file}", tmp_path)
