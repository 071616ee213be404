"""A process that is told over a pipe what to do, and may be killed: the test's end of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any


class ToldProcess:
    """Runs a program that reads one JSON list a line, and answers each with one JSON value.

    `call` waits for the answer, `send` and `answer` are its two halves.
    """

    def __init__(self, program: str, *arguments: str) -> None:
        # The descriptors of the pipes are all there is to wait on: no state is polled for.
        self._process = subprocess.Popen(
            [sys.executable, program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
        )

    def send(self, name: str, *args: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *args]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        return json.loads(line)

    def call(self, name: str, *args: object) -> Any:
        self.send(name, *args)
        return self.answer()

    def wait_killed(self) -> None:
        """Until it has killed itself."""
        assert self._process.wait() == -signal.SIGKILL

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and nothing left of it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
