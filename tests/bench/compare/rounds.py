"""Alternating rounds: every server in turn, and what becomes of one that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import clean_environment
from origin import OriginProcess

from compare import guarded, parts, secure_parts
from compare.parts import Bench, Note
from compare.processes import last_line
from compare.readers import Readers
from compare.results import MEGABYTES, Failure, Log, Measure, Results
from compare.secured import ALL_SERVERS, IN_TLS, INTERCEPTING, Intercepting
from compare.servers import SERVERS, FastOrigin, Server
from compare.wrk import Wrk

INDEX = Path(__file__).parent.parent / "bench_index.py"
STEADY: dict[int, Callable[[Bench, Server, Note], None]] = {
    1: parts.hits,
    2: parts.varying,
    6: parts.new_connections,
    3: parts.misses,
    5: parts.slow_readers,
}
"""What is measured with the fast origin, in this order: what is hard to recover from is last."""
LOGGED = {1, 2, 3, 6}
"""What is measured with access logs as well."""
APART: dict[int, Callable[[Bench, Any, Note], None]] = {
    9: secure_parts.listener,
    10: secure_parts.intercepted,
    11: guarded.hits,
}
"""What is measured with servers that are set up for it alone: two in TLS, and a gateway."""
KINDS: Mapping[int, Mapping[str, type[Server]]] = {9: IN_TLS, 10: INTERCEPTING, 11: guarded.GUARDED}
"""The servers of a part, where they are others than those in plain HTTP."""
ALL = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
TRIES = 2
"""Failures after which a server is not asked for a part again."""
UNABLE = (OSError, RuntimeError, ValueError, TimeoutError, subprocess.SubprocessError)
"""What a part raises when a server does not do what it should; all else is our own mistake."""


@dataclass(frozen=True)
class Plan:
    """What to run; the first core is the servers', the second the load's and the origins'."""

    parts: Sequence[int]
    rounds: int
    seconds: int
    servers: Sequence[str]
    logs: Sequence[Log]
    cores: tuple[int, int]


class Rounds:
    """Runs a plan in a folder; what comes of it is in `results`."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.results = Results()

    def run(self) -> Results:
        core = self.plan.cores[1]
        with FastOrigin(self.folder / "origin", core) as fast, OriginProcess() as paced:
            bench = Bench(Wrk(core, self.plan.seconds), Readers(core), fast, paced)
            for number in range(1, self.plan.rounds + 1):
                if 4 in self.plan.parts:
                    parts.direct(bench, self._note(4, "direct", "off"))
                for name in self._order(number):
                    for log in self.plan.logs:
                        _tell(f"round {number} of {self.plan.rounds}: {ALL_SERVERS[name].title}, log {log}")
                        self._steady(bench, name, log)
                    self._stampede(bench, name)
                    for part in APART:
                        if self._due(part, name, "off"):
                            self._try(bench, name, "off", [part], APART)
        if 7 in self.plan.parts and INDEX.exists():
            _tell("the index")
            self.measure_index()
        return self.results

    def _order(self, number: int) -> list[str]:
        """The servers, each round beginning with another one."""
        first = number % len(self.plan.servers)
        return [*self.plan.servers[first:], *self.plan.servers[:first]]

    def _steady(self, bench: Bench, name: str, log: Log) -> None:
        """What the fast origin serves; the server begins anew after a failure."""
        chosen = [part for part in STEADY if self._due(part, name, log)]
        if self._due(8, name, log):
            self._try(bench, name, log, [8], {8: parts.memory}, warm=False)
        while chosen:
            done = self._try(bench, name, log, chosen, STEADY)
            chosen = chosen[done + 1 :]

    def _stampede(self, bench: Bench, name: str) -> None:
        if self._due(4, name, "off"):
            self._try(bench, name, "off", [4], {4: parts.stampede}, warm=False)

    def _due(self, part: int, name: str, log: Log) -> bool:
        """Whether to measure it: it is wanted, and did not fail twice."""
        wanted = part in self.plan.parts and (log == "off" or part in LOGGED)
        wanted = wanted and name in KINDS.get(part, SERVERS)
        return wanted and len(self.results.failed(part, name, log)) < TRIES

    def _try(
        self,
        bench: Bench,
        name: str,
        log: Log,
        chosen: Sequence[int],
        measure: dict[int, Callable[[Bench, Server, Note], None]],
        warm: bool = True,
    ) -> int:
        """Measures parts with a new server up to the first that fails; returns how many it did."""
        server = self._server(bench, name, log, chosen[0])
        done = 0
        try:
            with server:
                if warm:
                    bench.warm(server)
                for part in chosen:
                    measure[part](bench, server, self._note(part, name, log))
                    done += 1
        except UNABLE as failure:
            self._fail(chosen[done], name, log, str(failure) or type(failure).__name__)
        return done

    def _server(self, bench: Bench, name: str, log: Log, part: int) -> Server:
        """The server as the part needs it, before the origin that the part needs."""
        kind, origin = KINDS.get(part, SERVERS)[name], bench.origin.url.removeprefix("http://")
        if part == 4:
            origin = bench.paced.url("").removeprefix("http://")
        if issubclass(kind, Intercepting):
            origin = bench.origin.secure
        return kind(self.folder / name, self.plan.cores[0], origin, log == "on", bench.origin.certificate)

    def _fail(self, part: int, name: str, log: Log, reason: str) -> None:
        _tell(f"  part {part} failed: {reason}")
        self.results.failures.append(Failure(part, name, log, reason.strip().splitlines()[0]))

    def _note(self, part: int, name: str, log: Log) -> Note:
        def note(what: str, unit: str, value: float) -> None:
            # Memory is of part 8, also where part 4 saw it.
            measure = Measure(8 if unit == MEGABYTES else part, what, unit, log)
            self.results.add(measure, name, value)
            _tell(f"  {part}: {what}, {unit}: {value:.4g}")

        return note

    def measure_index(self) -> None:
        """Part 7, which is a program of its own."""
        command = ["taskset", "--cpu-list", str(self.plan.cores[0]), sys.executable, str(INDEX), "--json"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=600, env=clean_environment()
            )
            self.results.index = json.loads(done.stdout)
        except subprocess.CalledProcessError as failure:
            self._fail(7, "ours", "off", f"status {failure.returncode}: {last_line(failure.stderr)}")
        except (OSError, ValueError, subprocess.TimeoutExpired) as failure:
            self._fail(7, "ours", "off", str(failure))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
