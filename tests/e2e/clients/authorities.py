"""Authorities for interception, made by the program's own command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import clean_environment


def make_authority(folder: Path) -> Path:
    """The certificate of a new authority, in its folder."""
    command = [sys.executable, "-m", "pyproxycache", "ca", "init", "--folder", str(folder)]
    subprocess.run(command, env=clean_environment(), check=True, capture_output=True, timeout=60)
    return folder / "ca.pem"
