"""Runs a command in this process's place in its terminal: its stops, signals and end become this one's."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_BY_SIGNAL = 128

_PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGWINCH,
}
_WATCHED = {*_PASSED_ON, signal.SIGCONT, signal.SIGCHLD}
# Python ignores these, which the command would inherit.
_IGNORED_HERE = (signal.SIGPIPE, signal.SIGXFSZ)


class CannotRun(Exception):
    """The command cannot be run; `status` is what a shell ends with then."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def executable_of(name: str, path: str) -> str:
    """The file that the command's name stands for, sought in `path` as a shell does; raises CannotRun."""
    if "/" in name:
        places = [Path(name)]
    else:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
        places = [Path(folder or ".") / name for folder in path.split(os.pathsep)]
    there = [place for place in places if name and place.exists()]
    if not there:
        raise CannotRun(f"{name}: there is no such command", NOT_FOUND)
    if there[0].is_dir():
        raise CannotRun(f"{name}: is a directory", NOT_EXECUTABLE)
    if not os.access(there[0], os.X_OK):
        raise CannotRun(f"{name}: may not be executed", NOT_EXECUTABLE)
    return str(there[0])


class Foreground:
    """A command that runs in the process group of this process, and so in its terminal.

    While it runs, this process does nothing by itself that signals have other processes do: it passes on
    what is sent to it alone, stops when the command stops, and goes on with it.
    """

    def __init__(self, executable: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command; raises CannotRun. Signals are blocked from then on, in new threads, too."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            self._pid = _spawned(executable, command, environment, mask)
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            raise CannotRun(f"{command[0]}: {error.strerror}", status) from error

    def wait(self) -> int:
        """Wait for the command's end, and return its wait status (as os.waitpid gives it)."""
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                _stop_as(os.WSTOPSIG(status))
                self._send(signal.SIGCONT)
                continue
            if pid:
                return status
            received = signal.sigwaitinfo(_WATCHED)
            number = received.si_signo
            # What the terminal sends has gone to the whole process group, the command included.
            if number == signal.SIGCONT or (number in _PASSED_ON and received.si_code <= 0):
                self._send(number)

    def _send(self, number: int) -> None:
        # It has not been waited for, so the number is still its own.
        os.kill(self._pid, number)


def _spawned(
    executable: str, command: Sequence[str], environment: Mapping[str, str], mask: set[int]
) -> int:
    """Start the command with these blocked signals; returns its process id. Raises OSError."""

    def start(file: str, arguments: Sequence[str]) -> int:
        return os.posix_spawn(
            file, [*arguments], environment, setsigmask=list(mask), setsigdef=list(_IGNORED_HERE)
        )

    try:
        return start(executable, command)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script that does not say by what it is run is the shell's, as execvp(3) has it.
    return start("/bin/sh", ["sh", executable, *command[1:]])


def _stop_as(number: int) -> None:
    """Stop this process by the signal that has stopped the command; returns when it goes on."""
    # While it is blocked, it is one with that of the terminal, if that has not been received yet: two would
    # stop this process twice.
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_BLOCK, {number} & _WATCHED)


def end_as(status: int) -> int:
    """The exit status for the command's wait status, as a shell has it: 128 and the signal's number.

    After SIGINT this process ends by it, too, so that a script around it ends as it would by the command.
    """
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if number == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)
    return _BY_SIGNAL + number
