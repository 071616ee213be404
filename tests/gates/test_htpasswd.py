"""Files of users: what is accepted, and what is said of everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxycache.errors import ConfigError
from pyproxycache.gates.htpasswd import UsersFile, users_of

HASH = "$2y$05$" + "abcdefghijklmnopqrstuO" + "0123456789./ABCDEFGHIJKLMNOPQRS"
OTHER = HASH.replace("$2y$05$", "$2b$12$")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"ann:{HASH}", ["ann"]),
        (f"ann:{HASH}\nbob:{OTHER}\n", ["ann", "bob"]),
        (f"ann:{HASH}\r\n\r\n# bob:x\r\n  \r\neve:{OTHER} \r\n", ["ann", "eve"]),
        (f"a b:{HASH.replace('2y', '2a')}\n", ["a b"]),
        (f"änn:{HASH}\n", ["änn"]),
    ],
)
def test_entries(text: str, names: list[str]) -> None:
    assert [name.decode() for name in users_of(text.encode(), "users")] == names


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("ann:$apr1$s4ltsalt$s3cret0123456789012345", 1, "is not an entry of bcrypt"),
        ("ann:{SHA}s3cret=", 1, "is not an entry of bcrypt"),
        ("ann:s3cret", 1, "is not an entry of bcrypt"),
        ("s3cret", 1, "is not an entry of bcrypt"),
        ("ann:", 1, "is not an entry of bcrypt"),
        (f"ok:{HASH}\n\nann:{HASH}s3cret", 3, "is not an entry of bcrypt"),
        (f"ann:{HASH[:-1]}", 1, "is not an entry of bcrypt"),
        (f"ann:s3cret:{HASH}", 1, "is not an entry of bcrypt"),
        (f"ann:{HASH.replace('$05$', '$03$')}", 1, "of a cost from 4 to 16"),
        (f"ann:{HASH.replace('$05$', '$17$')}", 1, "of a cost from 4 to 16"),
        (f"ann:{HASH.replace('2y', '2x')}", 1, "is not an entry of bcrypt"),
        (f":{HASH}", 1, "has no name"),
        (f"a\x07s3cret:{HASH}", 1, "a control character"),
        (f"ann:{HASH}\nann:{OTHER}", 2, "the user has a line before this"),
    ],
)
def test_what_is_refused_is_named_by_its_line_alone(text: str, line: int, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        users_of(text.encode(), "/etc/users")
    (message,) = str(refused.value).splitlines()
    assert message.startswith(f"/etc/users:{line}: ")
    assert told in message
    assert not [secret for secret in ("s3cret", HASH[7:20]) if secret in message]


def test_a_name_that_is_not_utf_8() -> None:
    with pytest.raises(ConfigError, match=r"^users:1: the name is not in UTF-8$"):
        users_of(f"änn:{HASH}".encode("latin-1"), "users")


@pytest.mark.parametrize("text", ["", "\n\n", "# ann\n"])
def test_nobody_is_no_file(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^users: has no users: accepted is NAME:HASH"):
        users_of(text.encode(), "users")


def test_not_every_line_of_a_wrong_file_is_told() -> None:
    with pytest.raises(ConfigError) as refused:
        users_of(b"x\n" * 10_000, "users")
    assert len(str(refused.value).splitlines()) == 10


def test_a_file_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"ann:{HASH}\n")
    file = UsersFile(path)
    assert not file.look()
    path.write_text(f"ann:{HASH}\n# nothing new\n")
    assert not file.look()
    path.write_text(f"ann:{OTHER}\n")
    assert file.look()
    assert file.users == {b"ann": OTHER.encode()}
    assert not file.look()


def test_a_wrong_file_is_told_of_once(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"ann:{HASH}\n")
    file = UsersFile(path)

    def is_wrong(told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            file.look()
        assert not file.look()
        assert not file.look()
        assert file.users == {b"ann": HASH.encode()}

    path.write_text("ann:x\n")
    is_wrong("users:1: is not an entry of bcrypt")
    path.unlink()
    is_wrong("cannot be read: No such file or directory")
    path.mkdir()
    is_wrong("cannot be read: Is a directory")
    path.rmdir()
    path.write_text(f"ann:{HASH}\n")
    assert not file.look()  # as it was
    path.unlink()
    is_wrong("cannot be read: No such file or directory")
    path.write_bytes(b"#" * (17 << 20))
    is_wrong("is larger than 16 MB")
    path.write_text(f"bob:{HASH}\n")
    assert file.look()


def test_there_has_to_be_a_file_at_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^proxy_auth\.users: .*/users: cannot be read: No such file"):
        UsersFile(tmp_path / "users")
