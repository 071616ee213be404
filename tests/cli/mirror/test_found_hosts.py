"""Presets without hosts get those of the clients of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxycache.cli.mirror.found_hosts import with_found_hosts
from pyproxycache.configuration.loading import parse
from pyproxycache.mirror_options import UseOptions


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "pip.conf").write_text(
        "[global]\nindex-url=https://a.test:8443/root/simple/\nextra-index-url=https://b.test/root/simple\n"
        "  https://u:p@[fd00::1]/simple/\n"
    )
    return tmp_path


def test_hosts_are_found(root: Path) -> None:
    config = parse("use: [pypi, {ecosystem: npm, hosts: js.test}, pypi, go]", "x")
    found, lines = with_found_hosts(config, {}, root)
    assert found.use == (
        UseOptions(ecosystem="pypi", hosts=("a.test", "b.test"), path="/root/"),
        UseOptions(ecosystem="pypi", hosts=("fd00::1",)),
        UseOptions(ecosystem="npm", hosts=("js.test",)),
        UseOptions(ecosystem="go"),
    )
    (line,) = lines
    assert line.startswith("use: go counts nowhere")


def test_variables_count(root: Path) -> None:
    found, lines = with_found_hosts(
        parse("use: npm", "x"), {"npm_config_registry": "https://j.test/"}, root
    )
    assert (found.use, lines) == ((UseOptions(ecosystem="npm", hosts=("j.test",)),), [])


def test_nothing_is_read_where_hosts_are_named(root: Path) -> None:
    config = parse("use: [{ecosystem: pypi, hosts: '*'}]", "x")
    assert with_found_hosts(config, {}, root / "absent") == (config, [])
