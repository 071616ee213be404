"""Upstreams of mirrors as they are written: a URL, or a section that says where credentials are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pyproxycache.configuration.loading import dump, parse
from pyproxycache.errors import ConfigError


def written(upstream: Any) -> str:
    return yaml.safe_dump({"mirrors": {"own": {"ecosystem": "generic", "upstream": upstream}}})


@pytest.mark.parametrize(
    ("upstream", "read"),
    [
        ("http://u.test/", [("http://u.test/", None)]),
        (["http://u.test/", "http://v.test/x"], [("http://u.test/", None), ("http://v.test/x", None)]),
        ({"url": "http://u.test/"}, [("http://u.test/", None)]),
        (
            ["http://u.test/", {"url": "http://v.test/", "credentials": "env:MY_1"}],
            [("http://u.test/", None), ("http://v.test/", "env:MY_1")],
        ),
        ({"url": "http://u.test/", "credentials": "netrc"}, [("http://u.test/", "netrc")]),
        ({"url": "http://u.test/", "credentials": "/etc/me"}, [("http://u.test/", "/etc/me")]),
    ],
)
def test_forms(upstream: Any, read: list[tuple[str, str | None]]) -> None:
    config = parse(written(upstream), "test")
    assert [(str(one.url), one.credentials) for one in config.mirrors["own"].upstream] == read
    assert [str(url) for url in config.mirrors["own"].urls] == [url for url, _credentials in read]
    assert parse(dump(config), "again") == config


@pytest.mark.parametrize(
    "credentials", ["me:s3cret", "s3cret", "env:s3cret-", "env:", "", 7, ["s3cret"], "/s3cret\0"]
)
def test_what_may_be_a_password_is_not_repeated(credentials: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"own\.upstream\.credentials: it is not the path of a file"
    ) as told:
        parse(written({"url": "http://u.test/", "credentials": credentials}), "test")
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("upstream", [{"credentials": "netrc"}, {"url": "http://me:s3cret@u.test/"}, []])
def test_what_is_refused(upstream: Any) -> None:
    with pytest.raises(ConfigError, match=r"mirrors\.own\.upstream") as told:
        parse(written(upstream), "test")
    assert "s3cret" not in str(told.value)
