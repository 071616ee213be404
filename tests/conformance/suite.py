"""The public suite of HTTP cache tests: its npm package, its server, and one run of its client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Self

from harness import Proxy, clean_environment

PACKAGE = "http-cache-tests"
VERSION = "0.4.5"
TOTALS = {"required": 157, "optimal": 86, "check": 86}
"""How many tests of each kind the package has for a shared cache."""

DRIVER = Path(__file__).parent / "driver.mjs"
FOLDER = Path(sys.prefix) / "share" / f"{PACKAGE}-{VERSION}"
AT_ONCE = 100
AGAIN = 2
AGAIN_AT_MOST = 12


class Unavailable(Exception):
    """The suite cannot be had here: says what is missing."""


class Mode(Enum):
    """How the suite's client reaches its server through the proxy."""

    REVERSE = "reverse"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one test gave; `again` is how often it was run a second time, alone."""

    id: str
    name: str
    kind: str
    passed: bool
    why: str
    again: int = 0

    @property
    def counts(self) -> bool:
        """Whether it may not fail: a check test only asks what a cache does."""
        return self.kind in ("required", "optimal")


def install() -> Path:
    """The package's folder, fetched by npm the first time; raises Unavailable."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    package = FOLDER / "node_modules" / PACKAGE
    if not package.is_dir():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        # Made beside its place and renamed: what is there is whole, whoever else installs it now.
        with TemporaryDirectory(dir=FOLDER.parent) as beside:
            _npm_install(Path(beside))
            shutil.rmtree(FOLDER, ignore_errors=True)
            Path(beside).rename(FOLDER)
    return package


def _npm_install(folder: Path) -> None:
    options = [
        "--no-save",
        "--no-package-lock",
        "--omit=dev",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]
    try:
        done = subprocess.run(
            ["npm", "install", *options, "--prefix", str(folder), f"{PACKAGE}@{VERSION}"],
            cwd=folder,
            env={**os.environ, "npm_config_fetch_retries": "0"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm could not install {PACKAGE} within 2 minutes") from None
    if done.returncode != 0:
        codes = [line.split()[-1] for line in done.stderr.splitlines() if " code " in line]
        raise Unavailable(f"npm could not install {PACKAGE} {VERSION}: {' '.join(codes) or 'failed'}")


class SuiteServer:
    """The suite's origin server on a free port; what it prints goes to `log`, line by line."""

    def __init__(self, package: Path, log: IO[str] | None = None) -> None:
        self._package, self._log = package, log
        self.url = ""

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory()
        settings = {
            "npm_config_protocol": "http",
            "npm_config_port": "0",
            "npm_config_pidfile": f"{self._folder.name}/pid",
        }
        self._process = subprocess.Popen(
            ["node", "server/server.mjs"],
            cwd=self._package,
            env=clean_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = self._process.stdout
        assert lines is not None
        # It listens by the time it says where.
        greeting = lines.readline()
        if "Listening on" not in greeting:
            self.__exit__()
            raise RuntimeError(f"the suite's server did not start: {greeting}")
        self.url = f"http://localhost:{greeting.rstrip().rstrip('/').rpartition(':')[2]}"
        self._reader = threading.Thread(target=self._drain, args=(lines,))
        self._reader.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        if self.url:
            self._reader.join()
        self._folder.cleanup()

    def _drain(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                if self._log is not None:
                    self._log.write(line)


class Run:
    """One proxy in one mode between the suite's client and its server; `with` it, then `verdicts()`."""

    def __init__(self, mode: Mode, package: Path, folder: Path, log: IO[str] | None = None) -> None:
        self._mode, self._package = mode, package
        self._server = SuiteServer(package, log)
        self._folder = folder

    def __enter__(self) -> Self:
        self._server.__enter__()
        reverse = ["--upstream", self._server.url] if self._mode is Mode.REVERSE else []
        try:
            self.proxy = Proxy(self._folder, workers=2, threads=2 * AT_ONCE, arguments=reverse).start()
        except BaseException:
            self._server.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.proxy.close()
        self._server.__exit__()

    def verdicts(self, accepted: Container[str] = ()) -> list[Verdict]:
        """All tests at once; then alone those that fail and should not, as time is part of many."""
        found = {verdict.id: verdict for verdict in self.client()}
        for again in range(1, AGAIN + 1):
            failed = [v.id for v in found.values() if v.counts and not v.passed and v.id not in accepted]
            if not 0 < len(failed) <= AGAIN_AT_MOST:
                break  # so many do not fail for want of time
            for verdict in self.client(failed, at_once=1):
                # Of one that passes now it is told why it did not at first.
                why = found[verdict.id].why if verdict.passed else verdict.why
                found[verdict.id] = replace(verdict, why=why, again=again)
        return list(found.values())

    def client(
        self, ids: Iterable[str] = (), *, at_once: int = AT_ONCE, dump: bool = False
    ) -> list[Verdict]:
        """One run of the suite's client: these tests, or all."""
        command = ["node", "--no-warnings", str(DRIVER), "--suite", str(self._package)]
        if self._mode is Mode.REVERSE:
            command += ["--base", self.proxy.url]
        else:
            command += ["--base", self._server.url, "--proxy", self.proxy.url]
        command += ["--at-once", str(at_once), *(["--dump"] if dump else []), *ids]
        done = subprocess.run(
            command, env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True, timeout=600
        )
        return [Verdict(**verdict) for verdict in json.loads(done.stdout)]
