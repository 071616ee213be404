"""`pyproxycache run` in a terminal, under a shell with job control: it takes no part of its own in that."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from harness import clean_environment
from waiting import until

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

RUN = f"{sys.executable} -m pyproxycache run --quiet --"


class Terminal:
    """A shell in a terminal of its own, and what has come to the terminal since the last look."""

    def __init__(self, home: Path) -> None:
        self._ours, theirs = pty.openpty()

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        environment = clean_environment(
            {"HOME": str(home), "TMPDIR": str(home), "PS1": "% ", "TERM": "dumb"}
        )
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(theirs)
        self._seen = ""

    def __enter__(self) -> Self:
        self.wait_for("% ")
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGHUP)
        self._shell.kill()
        self._shell.wait(10)
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """Wait for the text; returns what came before it, and forgets both."""
        end = time.monotonic() + seconds
        while text not in self._seen:
            ready, _write, _error = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} did not come; there is {self._seen!r}"
            self._seen += os.read(self._ours, 4096).decode(errors="replace")
        before, _found, self._seen = self._seen.partition(text)
        return before

    def command(self, line: str, text: str) -> None:
        """Type a line, and wait for what the shell or its command says behind the line's echo."""
        self.type(f"{line}\n")
        self.wait_for("\n")
        self.wait_for(text)

    def resume(self, text: str) -> None:
        """Have the job in the foreground: until it is there, keys that send signals are the shell's."""
        self.command("fg", text)
        until(lambda: os.tcgetpgrp(self._ours) != self._shell.pid)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with Terminal(tmp_path) as one:
        yield one


def test_interrupts_stops_and_job_control(terminal: Terminal) -> None:
    terminal.command(f"{RUN} sh -c 'echo be''gun; exec sleep 60'", "begun")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.command("jobs", "Stopped")
    terminal.resume("sleep 60")
    terminal.type("\x03")
    terminal.wait_for("% ")
    terminal.command("echo status $?", "status 130")
    # In the background, and a quit.
    terminal.command(f"{RUN} sh -c 'echo be''gun; exec sleep 60' &", "begun")
    terminal.resume("sleep 60")
    terminal.type("\x1c")
    terminal.wait_for("% ")
    terminal.command("echo status $?", "status 131")


def test_an_interrupt_ends_a_loop_of_the_shell(terminal: Terminal) -> None:
    terminal.command(f"for i in 1 2; do {RUN} sh -c 'echo be''gun; exec sleep 60'; done", "begun")
    terminal.type("\x03")
    assert "begun" not in terminal.wait_for("% ")
    terminal.command("echo status $?", "status 130")


def test_a_command_that_minds_its_own_signals(terminal: Terminal, tmp_path: Path) -> None:
    script = "trap 'echo interrupted' INT; echo begun; until read line; do :; done; echo got $line"
    (tmp_path / "script").write_text(script)
    terminal.command(f"{RUN} bash {tmp_path}/script", "begun")
    terminal.type("\x03")
    terminal.wait_for("interrupted")
    terminal.type("text\n")
    terminal.wait_for("got text")
    terminal.command("echo status $?", "status 0")


def test_a_shell_with_jobs_of_its_own(terminal: Terminal) -> None:
    terminal.command(f"PS1='inner> ' {RUN} bash --norc --noprofile -i", "inner> ")
    terminal.command("sh -c 'echo be''gun; exec sleep 60'", "begun")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.command("kill %1; suspend", "Stopped")  # which the outer shell says
    terminal.command("fg", "--norc")
    terminal.command("exit 7", "% ")
    terminal.command("echo status $?", "status 7")
