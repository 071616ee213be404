"""Real clients of mirrors, each run in a folder of its own."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from origin import Origin

VALIDATED = {"cache_control": "max-age=0"}
"""Of what the upstream wants to be validated each time."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put_validated(origin: Origin, path: str, content: bytes, media_type: str = "text/plain") -> None:
    fields = [("Content-Type", media_type)]
    origin.put(path, content, headers=fields, etag=f'"{sha256(content)[:16]}"', **VALIDATED)


def require(*programs: str) -> None:
    """Skips the test where one is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def ran(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in the folder, which is its home, too, with these variables and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    return subprocess.run(
        command, cwd=folder, env={**bare, **variables}, capture_output=True, text=True, timeout=110
    )


def words(done: subprocess.CompletedProcess[str]) -> str:
    """What it has said, for a failed assertion."""
    return f"status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def module_sum(files: Mapping[str, bytes]) -> str:
    """The checksum of a module's files, as go writes it."""
    lines = "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files))
    return f"h1:{base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()}"
