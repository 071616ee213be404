"""What a figure depends on: the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from compare.secured import ALL_SERVERS
from compare.servers import Server


def facts(servers: Iterable[str], rounds: int, seconds: int) -> list[str]:
    """One line each, as they are now: take them before anything is measured."""
    return [
        f"{time.strftime('%Y-%m-%d')}; medians of {rounds} rounds; each load lasts {seconds} s",
        *hardware(),
        f"Python {platform.python_version()}; {', '.join(map(_version, servers))}",
    ]


def hardware() -> list[str]:
    """One line about what there is, and one about the system and its load."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    load, _five, _fifteen = os.getloadavg()
    return [
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory",
        f"{platform.system()} {platform.release()}; load average before: {load:.2f}",
    ]


def _version(name: str) -> str:
    server: type[Server] = ALL_SERVERS[name]
    if shutil.which(server.program) is None:
        return f"{server.title} is not installed"
    return f"{server.title} {server.version()}"
