"""Which file a command's name stands for, and the exit status that a shell would have."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pyproxycache.cli.runs.foreground import CannotRun, end_as, executable_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, mode in (("program", 0o755), ("text", 0o644)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_a_program_is_found(folder: Path) -> None:
    assert executable_of("program", f"/no/such/folder:{folder}") == f"{folder}/program"
    assert executable_of(f"{folder}/program", "") == f"{folder}/program"


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("nothing", 127, "nothing: there is no such command"),
        ("./nothing", 127, "there is no such command"),
        ("", 127, "there is no such command"),
        ("text", 126, "text: may not be executed"),
        ("folder", 126, "folder: is a directory"),
        ("/etc", 126, "/etc: is a directory"),
    ],
)
def test_what_is_none(folder: Path, name: str, status: int, text: str) -> None:
    with pytest.raises(CannotRun, match=text) as error:
        executable_of(name, str(folder))
    assert error.value.status == status


@pytest.mark.parametrize(
    ("wait_status", "status"),
    [(0, 0), (3 << 8, 3), (255 << 8, 255), (signal.SIGTERM, 143), (signal.SIGSEGV | 0x80, 139)],
)
def test_the_status_at_the_end(wait_status: int, status: int) -> None:
    assert end_as(wait_status) == status
