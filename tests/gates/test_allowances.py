"""The file of releases that are let through."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from waiting import until

from pyproxycache.gates import allowances
from pyproxycache.gates.allowances import Allowance, AllowanceFile, read_allowances, written_allowances

ONE, OTHER = Allowance("py", "x", "1"), Allowance("py", "x", "2")


def put(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "allowed.json"
    assert read_allowances(path) == []
    put(path, written_allowances([OTHER, ONE, ONE]))
    assert read_allowances(path) == [ONE, OTHER]
    put(path, written_allowances([]))
    assert read_allowances(path) == []


def test_changes_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "allowed.json"
    file = AllowanceFile(path)
    assert file.versions("py", "x") == ()
    put(path, written_allowances([ONE, OTHER]))
    until(lambda: file.versions("py", "x") == ("1", "2"))
    assert (file.versions("js", "x"), file.versions("py", "y")) == ((), ())
    path.unlink()
    until(lambda: file.versions("py", "x") == ())


@pytest.mark.parametrize(
    "data", [b"", b"[", b"{}", b'[{"mirror": 5}]', b"[" * 10_000, b"\xff", b" " * (17 << 20)]
)
def test_what_cannot_be_read_lets_nothing_through(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "allowed.json"
    put(path, data)
    with pytest.raises(ValueError, match=r"."):
        read_allowances(path)
    assert AllowanceFile(path).versions("py", "x") == ()


def test_what_could_not_be_opened_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where all descriptors are used, the file has not changed when there are some again."""
    path = tmp_path / "allowed.json"
    put(path, written_allowances([ONE]))
    file, looks = AllowanceFile(path), []

    def failing(_path: Path) -> list[Allowance]:
        looks.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(allowances, "read_allowances", failing)
        until(lambda: file.versions("py", "x") == () and len(looks) > 1)
    until(lambda: file.versions("py", "x") == ("1",))
    assert caplog.text.count("Too many open files") == 1
