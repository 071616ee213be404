"""Sends what is spooled: one worker at a time, in order, with growing pauses while that fails."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyproxycache import clock
from pyproxycache.background import Background, Count
from pyproxycache.report.events.carrier import Carrier, Undelivered, Unreached
from pyproxycache.report.events.event import marked_as_resent
from pyproxycache.report.events.progress import SendingProgress
from pyproxycache.report.events.spool_reader import SpoolReader

log = logging.getLogger("pyproxycache")

_REST_SECONDS = 0.1
_TURN_SECONDS = 0.5
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


class Sender:
    """A thread that sends the events of a spool while no other process does.

    What may have been delivered before is marked. `stopped` is set to end it.
    """

    def __init__(self, folder: Path, carrier: Carrier, stopped: threading.Event, count: Count) -> None:
        self._folder = folder
        self._carrier = carrier
        self._stopped = stopped
        self._count = count
        self._reader = SpoolReader(folder)
        self._until = float("inf")
        self._pause = 0.0
        self._trouble = ""
        self._background = Background("events", log, count)
        self._thread = threading.Thread(target=self._run, name="event-sender", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Send what is spooled, and end the thread, in `seconds` at most; the next start sends the rest."""
        self._until = clock.steady() + seconds
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    # From here on, all is called by the thread alone.

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopped.is_set()
            self._background.attempt(self._have_turn)
            self._stopped.wait(_TURN_SECONDS)
        self._carrier.close()

    def _have_turn(self) -> None:
        """Send until the end, unless another process does, or until the folder is another one."""
        with suppress(FileNotFoundError), self._elected() as is_elected:  # not spooled anything yet
            if not is_elected:
                return
            progress = SendingProgress(self._folder / "progress", self._reader.end())
            try:
                begin = self._reader.resumed(progress.confirmed)
                if begin < progress.confirmed:
                    progress.go_back(begin)
                while self._send(progress):
                    pass
            finally:
                progress.close()

    @contextmanager
    def _elected(self) -> Iterator[bool]:
        """A context that says whether this process sends; the kernel ends that with the process."""
        fd = os.open(self._folder / "sender.lock", _FLAGS, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    def _send(self, progress: SendingProgress) -> bool:
        """Send some events, or rest if there are none; returns whether to go on."""
        reading = self._reader.read(progress.confirmed)
        if reading.end < progress.confirmed:
            return False  # the folder was made anew
        if reading.damaged:
            self._count({"events.damaged": reading.damaged})
            log.warning("%d damaged lines of spooled events were passed over", reading.damaged)
        if not reading.events:
            if reading.end > progress.confirmed:
                progress.confirm(reading.end)
            self._reader.forget_before(reading.end)
            if self._stopped.is_set():
                return False
            self._carrier.rest(_REST_SECONDS)
            return True
        lines = [
            marked_as_resent(event) if end <= progress.claimed else event for event, end in reading.events
        ]
        again = sum(end <= progress.claimed for _event, end in reading.events)
        before = progress.claimed
        progress.claim(reading.end)
        try:
            self._carrier.deliver(lines, self._is_over)
        except Unreached as why:
            progress.disclaim(before)
            return self._failed(str(why), progressed=False)
        except Undelivered as why:
            if why.delivered:
                self._count({"events.sent": why.delivered})
                progress.confirm(reading.events[why.delivered - 1][1])
            return self._failed(str(why), progressed=why.delivered > 0)
        self._count({"events.sent": len(lines), "events.resent": again})
        progress.confirm(reading.end)
        self._reader.forget_before(reading.end)
        self._succeeded()
        return not self._is_over()

    def _is_over(self) -> bool:
        return self._stopped.is_set() and clock.steady() >= self._until

    def _failed(self, why: str, *, progressed: bool) -> bool:
        """Say what is wrong once, and pause; returns whether to try again."""
        if self._stopped.is_set():
            return False
        if why != self._trouble:
            log.warning("events are not delivered, and wait on the disk: %s", why)
            self._trouble = why
        self._pause = (
            _SHORTEST_PAUSE if progressed else min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, 2 * self._pause))
        )
        return not self._stopped.wait(self._pause)

    def _succeeded(self) -> None:
        if self._trouble:
            log.warning("events are delivered again")
        self._trouble, self._pause = "", 0.0
