"""What Prometheus' own tool says of the text that it would read."""

from __future__ import annotations

import shutil
import subprocess

TOOL = shutil.which("promtool")


def problems_of(text: bytes) -> str:
    """What is wrong with the text; "" for nothing, and where the tool is not installed."""
    if TOOL is None:
        return ""
    done = subprocess.run([TOOL, "check", "metrics"], input=text, capture_output=True, timeout=60)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).decode() or "it failed"
