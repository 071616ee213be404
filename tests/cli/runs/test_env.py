"""Lines for shells: each shell that is here reads the same values from them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from pyproxycache.cli.runs.env import SHELLS, shell_lines, shell_of

VALUES = [
    "plain",
    "",
    "two words",
    "it's",
    'a "quoted" $HOME `x` \\ !bang',
    "a|b;c&d #e * ?",
    "tab\there",
    "é€",
]
PROGRAMS = {"sh": ["sh", "bash", "zsh", "ksh", "dash"], "fish": ["fish"], "csh": ["tcsh", "csh"]}


@pytest.mark.parametrize(
    ("shell", "program"), [(shell, program) for shell in SHELLS for program in PROGRAMS[shell]]
)
def test_a_shell_reads_what_was_meant(shell: str, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    settings = {f"VALUE_{number}": value for number, value in enumerate(VALUES)}
    lines = [*shell_lines(shell, {**settings, "GONE": None}), "env -0"]
    done = subprocess.run(
        [program, "-c", "\n".join(lines)],
        env={**os.environ, "GONE": "1", "VALUE_0": "old"},
        capture_output=True,
        timeout=30,
        check=True,
    )
    found = dict(one.split("=", 1) for one in done.stdout.decode().split("\0") if one)
    assert {name: found.get(name) for name in settings} == settings
    assert "GONE" not in found


@pytest.mark.parametrize(
    ("path", "shell"),
    [("/bin/bash", "sh"), ("/usr/bin/fish", "fish"), ("/bin/tcsh", "csh"), ("csh", "csh"), ("", "sh")],
)
def test_the_shell_by_its_program(path: str, shell: str) -> None:
    assert shell_of(path) == shell
