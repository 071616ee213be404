"""One run of wrk on its core, and what it measured."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "load.lua"
BROKEN = 0.001
"""The share of requests that may break (their connection was closed) before a run counts as failed."""


@dataclass(frozen=True)
class Run:
    """Seconds for times; `broken` requests had no whole answer, `refused` ones a status from 400 on."""

    requests: int
    seconds: float
    p50: float
    p99: float
    bytes: int
    broken: int
    refused: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Wrk:
    """wrk on one core, for so many seconds a run."""

    core: int
    seconds: int

    def run(
        self, url: str, connections: int = 64, mode: str = "plain", headers: tuple[str, ...] = ()
    ) -> Run:
        """A run of one of the modes in load.lua; RuntimeError where requests failed."""
        options = [f"-H{line}" for line in headers]
        command = ["taskset", "--cpu-list", str(self.core), "wrk", "-t1", f"-c{connections}", *options]
        command += [f"-d{self.seconds}s", "--timeout", "20s", "-s", str(SCRIPT), url, "--"]
        done = subprocess.run([*command, mode], capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"wrk ended with status {done.returncode}: {done.stderr.strip()}")
        return checked(parse(done.stdout))


def parse(output: str) -> Run:
    """The line that load.lua printed; ValueError where there is none."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise ValueError(f"wrk printed no figures: {output.strip()!r}")
    return Run(**json.loads(lines[0]))


def checked(run: Run) -> Run:
    """The run; RuntimeError where it measured errors instead of answers."""
    if not run.requests:
        raise RuntimeError("not one request was answered")
    if run.refused:
        raise RuntimeError(f"{run.refused} of {run.requests} answers had a status from 400 on")
    if run.broken > run.requests * BROKEN:
        raise RuntimeError(f"{run.broken} of {run.requests} requests broke or timed out")
    return run
