"""What the parent is shown."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest

from pyproxycache.errors import ConfigError
from pyproxycache.options import ParentOptions
from pyproxycache.url import Url
from pyproxycache.wiring.credentials import parent_authorization

PARENT = Url("http", "proxy", 3128, "/")


def shown(path: Path | None) -> str:
    return parent_authorization(ParentOptions(url=PARENT, credentials=path))


def test_without_credentials_it_is_nothing() -> None:
    assert (parent_authorization(None), shown(None)) == ("", "")


@pytest.mark.parametrize("text", ["me:s3cret", "me:s3cret\n", "me:a:b@c%40\r\n", "mé:ö\n", "me:\n"])
def test_the_file_is_sent_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(text, encoding="utf-8")
    scheme, _blank, told = shown(path).partition(" ")
    assert (scheme, b64decode(told).decode()) == ("Basic", text.strip("\r\n"))


@pytest.mark.parametrize("data", [b"", b"me", b":s3cret", b"me:s3cret\nyou:s3cret\n", b"me:\xff", b"me:\0"])
def test_what_is_none_is_not_quoted(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"parent\.credentials: .*credentials: is not") as refused:
        shown(path)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        shown(tmp_path / "missing")


def test_a_password_in_place_of_the_file_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        shown(tmp_path / "user:secret")
    assert "user:password" in str(told.value)
    assert "secret" not in str(told.value)
    assert "secret" not in repr(told.value.__cause__)
