"""The folder of a run: it goes with the run, and so do those that killed runs have left."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

import pytest

from pyproxycache.cli.runs.run_folder import run_folder, write_file


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_goes_with_the_run(temporary: Path) -> None:
    with run_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o711
        (folder / "ca").mkdir()
        write_file(folder / "ca" / "file", "x")
        with run_folder() as other:
            assert other != folder
        assert folder.exists()
    assert list(temporary.iterdir()) == []


def test_what_killed_runs_have_left_goes_and_nothing_else(temporary: Path) -> None:
    left, living, beginning, old = (temporary / f"pyproxycache-run-{name}" for name in "abcd")
    for folder in (left, living, beginning, old):
        folder.mkdir()
    for folder in (left, living):
        (folder / "lock").touch()
    os.utime(old, (time.time() - 3600,) * 2)
    (temporary / "pyproxycache-run-link").symlink_to(left)
    (temporary / "pyproxycache-run-file").touch()
    (temporary / "other").mkdir()
    with (living / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with run_folder():
            pass
    names = {path.name.removeprefix("pyproxycache-run-") for path in temporary.iterdir()}
    assert names == {"b", "c", "link", "file", "other"}


def test_a_file_is_replaced_as_a_whole(temporary: Path) -> None:
    path = temporary / "file"
    assert write_file(path, "old", 0o644).stat().st_mode & 0o777 == 0o644
    assert write_file(path, b"new").read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in temporary.iterdir()] == ["file"]


def test_an_error_names_the_file(temporary: Path) -> None:
    (temporary / "folder").mkdir()
    with pytest.raises(OSError, match="folder") as error:
        write_file(temporary / "folder", "x")
    assert error.value.filename == str(temporary / "folder")
    assert [one.name for one in temporary.iterdir()] == ["folder"]
