"""How the access log is written in the configuration."""

from pathlib import Path

import pytest
import yaml

from pyproxycache.configuration.loading import dump, parse
from pyproxycache.errors import ConfigError
from pyproxycache.report.formats import FORMATS


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("-", "-"),
        ("/var/log/access.log", "/var/log/access.log"),
        ("access.log", str(Path("access.log").absolute())),
        ("~/access.log", str(Path("~/access.log").expanduser())),
        ("syslog:", "syslog:"),
        ("syslog:/run/log", "syslog:/run/log"),
        ("syslog:loghost:514", "syslog:loghost:514"),
        ("syslog:[2001:db8::1]:514", "syslog:[2001:db8::1]:514"),
    ],
)
def test_access(written: str, place: str) -> None:
    config = parse(yaml.safe_dump({"log": {"access": written}}), "c")
    assert config.log.access == place
    assert parse(dump(config), "c") == config


@pytest.mark.parametrize("wrong", ["syslog:host", "syslog:host:0", "syslog:host:70000", "syslog::514"])
def test_no_place_for_syslog(wrong: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(yaml.safe_dump({"log": {"access": wrong}}), "c")
    accepted = "syslog:, syslog:/path/to/socket or syslog:host:port"
    assert str(raised.value) == f"c: log.access: {wrong!r} is not {accepted}"


@pytest.mark.parametrize("wrong", ["''", "7", "[a]", '"a\\0b"'])
def test_no_path(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"log\.access: .* is not a path"):
        parse(f"log: {{access: {wrong}}}", "c")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_can_be_chosen(form: str) -> None:
    assert parse(f"log: {{format: {form}}}", "c").log.format == form


def test_no_format() -> None:
    with pytest.raises(ConfigError, match=r"'elf' is not one of squid, common, combined, json"):
        parse("log: {format: elf}", "c")


def test_queries_are_left_out_unless_asked_for() -> None:
    assert parse("", "c").log.query is False
    assert parse("log: {query: true}", "c").log.query is True
