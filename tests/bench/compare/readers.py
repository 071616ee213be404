"""pull.py as a process on its core: downloads at once and again, slow readers, idle connections."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare.processes import last_line
from compare.wrk import Run, checked

PULL = Path(__file__).parent / "pull.py"
SECURE_PULL = Path(__file__).parent / "secure_pull.py"
LONGEST = 60.0
"""Seconds that any of it may take."""


@dataclass(frozen=True)
class Downloads:
    """Seconds from the common start to the last byte, and the median one to a first byte of the body."""

    seconds: float
    first: float
    cpu: float


@dataclass
class Held:
    """What held connections saw in the end: bytes a second each."""

    rate: float = 0.0


@dataclass(frozen=True)
class Readers:
    """Clients on one core, which are one process of `program`."""

    core: int
    program: Path = PULL

    def download(self, url: str, clients: int, size: int) -> Downloads:
        """All download at once; RuntimeError unless each got so many bytes."""
        result = self._done("all", url, clients)
        if result["whole"] != clients or result["bytes"] != clients * size:
            said = "; ".join(result["errors"][:3])
            raise RuntimeError(f"{result['whole']} of {clients} clients got the whole body: {said}")
        return Downloads(result["seconds"], result["first"], result["cpu"])

    def again(self, url: str, clients: int, seconds: int, agents: int) -> Run:
        """All download anew as soon as they are done, in the name of so many user agents in turn."""
        result = self._done("again", url, clients, "--seconds", str(seconds), "--agents", str(agents))
        return _run_of(result, clients)

    def paced(self, url: str, clients: int, rate: int, seconds: int) -> Run:
        """So many requests a second, over so many connections; times are from when each was due."""
        more = ("--rate", str(rate), "--seconds", str(seconds))
        return _run_of(self._done("paced", url, clients, *more), clients)

    @contextmanager
    def slow(self, url: str, clients: int, rate: int) -> Iterator[Held]:
        """So many clients read so many bytes a second meanwhile; RuntimeError where one breaks."""
        with self._held("slow", url, clients, "--rate", str(rate)) as held:
            yield held

    @contextmanager
    def idle(self, url: str, clients: int) -> Iterator[Held]:
        """So many connections, idle after one request each, meanwhile."""
        with self._held("idle", url, clients) as held:
            yield held

    def _done(self, mode: str, url: str, clients: int, *more: str) -> dict[str, Any]:
        """What it printed in the end; RuntimeError."""
        with self._process(mode, url, clients, *more) as process:
            try:
                output, errors = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"{clients} clients: not done after {LONGEST:.0f} s") from None
        if process.returncode:
            raise RuntimeError(f"{clients} clients: {last_line(errors)}")
        result: dict[str, Any] = json.loads(output)
        return result

    @contextmanager
    def _held(self, mode: str, url: str, clients: int, *more: str) -> Iterator[Held]:
        held = Held()
        with self._process(mode, url, clients, *more) as process:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                _output, errors = process.communicate(timeout=10)
                raise RuntimeError(f"{clients} connections: {last_line(errors)}")
            yield held
            output, _errors = process.communicate("", timeout=LONGEST)
            result = json.loads(output)
            held.rate = result["rate"]
            if result["errors"]:
                raise RuntimeError(f"{clients} connections, meanwhile: {result['errors'][0]}")

    @contextmanager
    def _process(self, mode: str, url: str, clients: int, *more: str) -> Iterator[subprocess.Popen[str]]:
        command = ["taskset", "--cpu-list", str(self.core), sys.executable, str(self.program), mode, url]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*command, "--clients", str(clients), *more], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                assert stream is not None
                stream.close()


@dataclass(frozen=True)
class SecureReaders(Readers):
    """Clients in TLS, which ask a proxy by CONNECT if there is one ("host:port")."""

    program: Path = SECURE_PULL
    proxy: str = ""

    def kept(self, url: str, clients: int, seconds: float) -> Run:
        """Requests over and over on kept connections."""
        return _run_of(self._done("again", url, clients, "--seconds", str(seconds)), clients)

    def anew(self, url: str, clients: int, seconds: float, *, resumes: bool = False) -> Run:
        """A new connection for each request, with a full handshake or with one that resumes a session."""
        more = ["--seconds", str(seconds), *(["--resume"] if resumes else [])]
        return _run_of(self._done("anew", url, clients, *more), clients)

    def named(self, url: str, clients: int, count: int, prefix: str) -> Run:
        """Handshakes with so many hosts that begin with the prefix, at the port of the URL."""
        more = ("--count", str(count), "--prefix", prefix)
        return _run_of(self._done("names", url, clients, *more), clients)

    def _process(
        self, mode: str, url: str, clients: int, *more: str
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        return super()._process(mode, url, clients, "--proxy", self.proxy, *more)


def _run_of(result: dict[str, Any], clients: int) -> Run:
    if result["errors"]:
        raise RuntimeError(f"{clients} clients: {result['errors'][0]}")
    took = sorted(result["took"])
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return checked(Run(len(took), result["seconds"], p50, p99, result["bytes"], 0, 0))
