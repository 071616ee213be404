"""Which place has a URL, and what the rules of that place say."""

from __future__ import annotations

import pytest

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import parse
from pyproxycache.mirrors.repositories import Repository, repository_of
from pyproxycache.rules.policy import Policy
from pyproxycache.rules.urls import parse_url

CONFIG = """
mirrors:
  py: {ecosystem: pypi, upstream: https://index.test/root/}
  inner: {ecosystem: npm, upstream: 'https://index.test/root/npm'}
use:
  - {ecosystem: pypi, hosts: [.files.test, 'fd00::1', index.test]}
  - {ecosystem: npm, hosts: [js.test], path: /a/npm/}
  - {ecosystem: generic, hosts: ['*'], path: /any}
"""


@pytest.fixture(scope="module")
def config() -> Config:
    return parse(CONFIG, "test.yaml")


def found(config: Config, url: str) -> Repository | None:
    return repository_of(parse_url(url), config.repositories())


@pytest.mark.parametrize(
    ("url", "ecosystem", "base", "below"),
    [
        ("https://index.test/root/simple/x/", "pypi", "/root", "simple/x/"),
        ("https://index.test/root/npm/x", "npm", "/root/npm", "x"),
        ("https://index.test/root/npmx", "pypi", "/root", "npmx"),
        # Another scheme or port is none of the mirror's.
        ("http://index.test/root/x", "pypi", "", "root/x"),
        ("https://index.test:8443/root/npm/x", "pypi", "", "root/npm/x"),
        ("https://index.test/rootx", "pypi", "", "rootx"),
        ("http://a.files.test/?q", "pypi", "", ""),
        ("http://files.test:81/a/b?q=/root/", "pypi", "", "a/b"),
        ("http://[fd00::1]/a", "pypi", "", "a"),
        ("http://js.test/a/npm/x?y", "npm", "/a/npm", "x"),
        ("http://other.test/any/x", "generic", "/any", "x"),
    ],
)
def test_the_innermost_place_has_the_url(
    config: Config, url: str, ecosystem: str, base: str, below: str
) -> None:
    place = found(config, url)
    assert place is not None
    assert (place.ecosystem.name, place.base, place.path_below(parse_url(url))) == (ecosystem, base, below)


@pytest.mark.parametrize(
    "url", ["http://other.test/", "http://js.test/a/", "http://notfiles.test/x", "http://other.test/anyx"]
)
def test_no_place_has_others(config: Config, url: str) -> None:
    assert found(config, url) is None


def policy(config: Config, url: str, status: int = 200) -> Policy:
    return config.policies().about(parse_url(url)).for_response(status, "application/octet-stream")


def test_rules_of_presets(config: Config) -> None:
    assert policy(config, "http://files.test/x-1.0.tar.gz").immutable
    assert policy(config, "http://files.test/deep/simple/x/").fresh == 600
    assert policy(config, "http://js.test/a/npm/x/-/x-1.tgz").immutable
    assert policy(config, "http://js.test/a/npm/x").fresh == 300
    assert policy(config, "http://js.test/a/npm/-/whoami").no_store
    assert policy(config, "http://js.test/a/npm/x", 404).fresh == 60
    assert policy(config, "http://js.test/a/npm/x", 500).fresh is None
    for url in ("http://js.test/x/-/x-1.tgz", "http://unknown.test/x-1.0.tar.gz"):
        assert policy(config, url) == policy(config, "http://unknown.test/")


def test_the_operators_rules_win() -> None:
    config = parse(f"{CONFIG}\nrules: [{{match: {{path: '^/simple/'}}, fresh: 7}}]", "test.yaml")
    assert policy(config, "http://files.test/simple/x/").fresh == 7


def test_a_preset_without_hosts_counts_nowhere() -> None:
    assert parse("use: [pypi, {ecosystem: npm}]", "test.yaml").repositories() == ()
