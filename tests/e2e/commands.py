"""Runs the commands as a user does, and gives what they print."""

import io
import json
import os
import pty
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any
from unittest.mock import patch

import warm_python
from harness import Proxy, clean_environment, fetch
from readable import is_readable

from pyproxycache.cli import main

DONE, PROBLEMS, WRONG_USAGE = 0, 1, 2


@dataclass(frozen=True)
class Done:
    """A command's exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


def run(*arguments: str, text: str = "", **environment: str) -> Done:
    """The command as a process of its own."""
    with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as errors:
        given.write(text)
        for file in (given, out, errors):
            file.seek(0)
        process = warm_python.start(arguments, clean_environment(environment), (given, out, errors))
        status = process.wait(60)
        for file in (out, errors):
            file.seek(0)
        return Done(status, out.read(), errors.read())


def call(*arguments: str, **environment: str) -> Done:
    """The command in this process, which saves half a second."""
    out, errors, status = io.StringIO(), io.StringIO(), DONE
    with redirect_stdout(out), redirect_stderr(errors), patch.dict(os.environ, clear=True):
        os.environ |= clean_environment(environment)
        try:
            main(arguments, "pyproxycache")
        except SystemExit as end:
            status = int(end.code or DONE)
    return Done(status, out.getvalue(), errors.getvalue())


def printed(*arguments: str, status: int = DONE, **environment: str) -> Any:
    """What the command prints with --json."""
    done = call(*arguments, "--json", **environment)
    assert done.status == status, done.stderr
    return json.loads(done.stdout)


def on_terminal(*arguments: str) -> tuple[int, str]:
    """The command with a terminal for both streams; its exit status and what came to the terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pyproxycache", *arguments]
    environment = clean_environment({"TERM": "xterm", "COLUMNS": "60"})
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as running:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal's other end is closed
            while data := os.read(ours, 65536):
                shown += data
        status = running.wait(60)
    os.close(ours)
    return status, shown.decode()


def reload(proxy: Proxy, config: Any) -> list[int]:
    """SIGHUP with another configuration; returns the new workers once the old ones are gone."""
    old = proxy.worker_pids()
    ends = [os.pidfd_open(pid) for pid in old]
    proxy.configure(config)
    proxy.reload()
    for end in ends:
        assert is_readable(end, 10.0)
        os.close(end)
    fetch(proxy.address, "/")  # answered: a new worker is there
    return [pid for pid in proxy.worker_pids() if pid not in old]
