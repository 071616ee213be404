"""The units of contrib/systemd: systemd takes them, and the health check restarts what does not answer."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from asked_admin import config_with, reserved, token_file
from harness import Proxy

FOLDER = Path(__file__).parents[3] / "contrib" / "systemd"
ANALYZE = shutil.which("systemd-analyze")
PROGRAM = re.compile(r"/usr/local/\S+")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", sorted(path.name for path in FOLDER.iterdir()))
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    for path in FOLDER.iterdir():  # they name one another, and programs that are not installed here
        (tmp_path / path.name).write_text(PROGRAM.sub("/bin/true", path.read_text()))
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == []


def checked(tmp_path: Path, address: tuple[str, int]) -> tuple[int, str]:
    """The status of the health check, and what it has told systemd."""
    text = (FOLDER / "pyproxycache-health.service").read_text()
    said = tmp_path / "said"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{said}\n')
    systemctl.chmod(0o755)
    found = re.search("^ExecStart=(.+)$", text, re.MULTILINE)
    assert found is not None
    given = {"ADMIN": f"http://{address[0]}:{address[1]}", "PAUSE": "0.1"}
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(found[1]), env={**given, "PATH": path}, timeout=60, capture_output=True
    )
    return done.returncode, said.read_text() if said.exists() else ""


@needs_curl
def test_who_answers_is_left_alone(make_proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    with reserved() as address:
        make_proxy(config=config_with(address))
        assert checked(tmp_path, address) == (0, "")


@needs_curl
def test_who_wants_a_token_is_there(make_proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    with reserved() as address:
        make_proxy(config=config_with(address, token=token_file(tmp_path)))
        assert checked(tmp_path, address) == (0, "")


@needs_curl
def test_who_does_not_answer_is_restarted(tmp_path: Path) -> None:
    with reserved() as address:
        assert checked(tmp_path, address) == (1, "try-restart pyproxycache.service\n")
