"""References to secrets: how they are written, and what they stand for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.configuration.secrets import (
    SecretPlace,
    parts_of,
    read_secret,
    read_text_with_secrets,
    resolved,
)
from pyproxycache.errors import ConfigError

ENVIRON = {"ID": "gate", "KEY": "s3 cret&", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("plain $ text {token}", ["plain $ text {token}"]),
        ("${env:KEY}", [SecretPlace("KEY")]),
        (
            "a ${env:ID}:${file:/run/key} b",
            ["a ", SecretPlace("ID"), ":", SecretPlace("", "/run/key"), " b"],
        ),
        ("${file:~/key}", [SecretPlace("", "~/key")]),
        ("{${env:ID}}", ["{", SecretPlace("ID"), "}"]),
    ],
)
def test_a_text_is_taken_apart(text: str, parts: list[str | SecretPlace]) -> None:
    assert list(parts_of(text)) == parts


@pytest.mark.parametrize(
    "text",
    [
        "${env:}",
        "${env:1X}",
        "${env:A-B}",
        "${KEY}",
        "${file:}",
        "${file:key}",
        "${env:KEY",
        "${ENV:KEY}",
        "${",
    ],
)
def test_what_only_looks_like_a_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"accepted are \$\{env:NAME\} .*\$\{file:/PATH\}"):
        read_text_with_secrets(text)


@pytest.mark.parametrize("value", ["hunter2", "me:hunter2", "${env:KEY}hunter2", "", 42, None, ["hunter2"]])
def test_a_secret_is_not_written_in_the_configuration_and_no_error_quotes_it(value: object) -> None:
    with pytest.raises(ValueError, match="secrets are not written here") as raised:
        read_secret(value)
    assert "hunter2" not in str(raised.value)
    assert "42" not in str(raised.value)


@pytest.mark.parametrize("value", ["${env:KEY}", "me:${env:KEY}", "${env:ID}:${file:/run/key}"])
def test_a_reference_to_a_secret_is_taken_as_it_is(value: str) -> None:
    assert read_secret(value) == value


def test_references_become_what_they_stand_for(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"from a file\r\n")
    file.chmod(0o600)
    text = f"a=${{env:KEY}}&b=${{file:{file}}}&c={{token}}"
    assert resolved(text, "x", environ=ENVIRON) == "a=s3 cret&&b=from a file&c={token}"


def test_only_what_they_stand_for_is_encoded() -> None:
    assert resolved("a&${env:KEY}", "x", str.upper, ENVIRON) == "a&S3 CRET&"


@pytest.mark.parametrize("name", ["NONE", "EMPTY"])
def test_a_variable_without_a_secret_is_named_with_the_key(name: str) -> None:
    with pytest.raises(ConfigError, match=f"routes.x.key: the variable {name} is not set"):
        resolved(f"${{env:{name}}}", "routes.x.key", environ=ENVIRON)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "No such file"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * (2 << 20), "more than"),
    ],
)
def test_a_file_without_a_secret_is_named_with_the_key(
    data: bytes | None, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ConfigError, match=f"routes.x.key: {file}: .*{why}"):
        resolved(f"${{file:{file}}}", "routes.x.key")


def test_a_file_that_everybody_can_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret")
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING, "pyproxycache.configuration"):
        assert resolved(f"${{file:{file}}}", "routes.x.key") == "s3cret"
    assert "routes.x.key" in caplog.text
    assert "s3cret" not in caplog.text


@given(st.lists(st.one_of(st.just("${env:KEY}"), st.text("ab{}:$ \n", max_size=5))))
def test_all_of_a_text_is_in_its_parts(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        parts = list(parts_of(text))
    except ValueError:
        assert "${" in text.replace("${env:KEY}", "\0")
        return
    assert "".join("${env:KEY}" if isinstance(part, SecretPlace) else part for part in parts) == text
