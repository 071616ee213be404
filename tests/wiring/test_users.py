"""The gate for users with real hashes by bcrypt."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import bcrypt
import pytest

from pyproxycache.errors import AuthenticationRequired, ConfigError
from pyproxycache.options import ProxyAuthOptions
from pyproxycache.steps import finished
from pyproxycache.wiring.users import build_authentication, users_file


def is_user(path: Path, name: str, password: str) -> bool:
    options = ProxyAuthOptions(users=path)
    file = users_file(options)
    assert file is not None
    line = f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"
    try:
        return finished(build_authentication(options, file).verdict((line,), "192.0.2.7")).user == name
    except AuthenticationRequired:
        return False


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize("kind", ["$2y$", "$2b$", "$2a$"])
@pytest.mark.parametrize("password", ["s3cret", "pässword €", "", "x" * 72])
def test_each_kind_of_hash(tmp_path: Path, kind: str, password: str) -> None:
    path = tmp_path / "users"
    path.write_text(f"ann:{hashed(password).replace('$2b$', kind)}\n")
    assert is_user(path, "ann", password)
    assert not is_user(path, "ann", f"y{password[1:]}")
    assert not is_user(path, "eve", password)


def test_what_is_behind_the_longest_password_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"ann:{hashed('x' * 100)}\n")
    assert is_user(path, "ann", "x" * 100)
    assert is_user(path, "ann", "x" * 72)
    assert not is_user(path, "ann", "x" * 71)


def test_without_the_section_nobody_has_to_log_in() -> None:
    assert users_file(None) is None


def test_a_wrong_file_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("ann:s3cret\n")
    with pytest.raises(ConfigError, match=r"^proxy_auth\.users: .*users:1: is not an entry of bcrypt"):
        users_file(ProxyAuthOptions(users=path))
