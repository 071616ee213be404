"""Commands for which host names lead to this machine that lead nowhere for all others."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

_BIND = 'mount --bind "$0" /etc/hosts && exec "$@"'


def knowing(hosts: Path, command: Sequence[str]) -> list[str]:
    """The command, with this file as its /etc/hosts, in a mount namespace of its own."""
    return [*_unshare(), "sh", "-c", _BIND, str(hosts), *command]


def write_hosts(file: Path, names: Iterable[str]) -> Path:
    file.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *names)))
    return file


@functools.cache
def _unshare() -> tuple[str, ...]:
    """How a mount namespace is made here; skips the test where none can be."""
    ways = [("unshare", "--mount")] if os.geteuid() == 0 else [("unshare", "--map-root-user", "--mount")]
    for way in ways:
        try:
            subprocess.run([*way, "sh", "-c", _BIND, "/etc/hosts", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return way
    pytest.skip("no mount namespace can be made here, in which names lead to the origin")
