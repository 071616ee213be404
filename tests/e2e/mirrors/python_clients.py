"""Clients that are Python packages, which `make clients` installs in an environment of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from language_clients import ran

_PYTHON = Path(sys.prefix) / "clients" / "python" / "bin" / "python"


def run_python(
    module: str, script: str, folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The script, which needs the module, with these arguments, as by language_clients.ran()."""
    if not _PYTHON.exists() or subprocess.run([_PYTHON, "-c", f"import {module}"]).returncode != 0:
        pytest.skip(f"{module} is not installed, as make clients does")
    return ran([str(_PYTHON), "-c", script, *arguments], folder, **variables)
