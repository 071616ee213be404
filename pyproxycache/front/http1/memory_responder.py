"""Answering from memory: what is known of a head, given again if it is still right."""

from __future__ import annotations

import contextlib
import os

from pyproxycache import clock
from pyproxycache.front.app import App
from pyproxycache.front.http1.connection import ClientConnection
from pyproxycache.front.http1.request_runner import RequestRunner
from pyproxycache.front.loop.sending import A_TURN, Sending, SendStatus, is_in_memory
from pyproxycache.front.memory.memory import Known, Memory
from pyproxycache.front.memory.repeats import Arriving, Stored
from pyproxycache.http1.answer_heads import head_bytes

_REPORT_SECONDS = 0.05
_NEVER = float("inf")


class MemoryResponder:
    """Gives answers again, and tells the reports of it in batches; belongs to the poller.

    Nothing is repeated once it `is_stopping`. `report_at` is when `report` is due (monotonic).
    """

    def __init__(self, app: App, memory: Memory, runner: RequestRunner) -> None:
        self.is_stopping = False
        self.report_at = _NEVER
        self._app = app
        self._reporter = app.reporter
        self._versions = app.versions
        self._memory = memory
        self._runner = runner
        self._opening = None if app.reporter.log is None else app.reporter.log.opening
        self._lines: list[str] = []
        self._served: list[Stored] = []

    def repeat(
        self, connection: ClientConnection, head: bytes, known: Known, *, waited: bool = False
    ) -> bool:
        """Whether the answer could be given again: then it is sent, or as much as the client took.

        The connection's `send_status` tells how far it came. Who `waited` for a download gets it even if it
        is not to be used again.
        """
        repeat = known.repeat
        began, begun = clock.wall(), clock.steady()
        if self._versions[repeat.slot] != repeat.version or (
            not repeat.since <= began < repeat.until and not (waited and isinstance(repeat, Arriving))
        ):
            self._memory.forget(head, known)
            return False
        if self.is_stopping or not connection.is_admitted or connection.login.is_used:
            return False
        if isinstance(repeat, Arriving):
            return self._join(connection, head, known, repeat, began)
        if repeat.is_inward and not connection.is_local:
            return False
        if began >= repeat.renew_at:
            repeat.renew(began)
        repeat.uses += 1
        connection.closes = repeat.closes
        taken = _sent(connection, repeat)
        if taken < repeat.length:
            self._send(connection, head, known, repeat, began, taken)
        else:
            connection.send_status = SendStatus.DONE
            self._note(head, known, repeat, began, clock.steady() - begun, connection.client)
        return True

    def _note(
        self, head: bytes, known: Known, repeat: Stored, began: float, seconds: float, client: str
    ) -> None:
        if not repeat.hits:
            self._served.append(repeat)
            if self.report_at is _NEVER:
                self.report_at = clock.steady() + _REPORT_SECONDS
        repeat.hits += 1
        if self._opening is not None:
            if known.line_until != repeat.renew_at:
                self._memory.tell(head, known, repeat)
            self._lines.append(self._opening(began, seconds, client) + known.line)

    def _send(
        self,
        connection: ClientConnection,
        head: bytes,
        known: Known,
        repeat: Stored,
        began: float,
        taken: int,
    ) -> None:
        """The longer way, for what the client did not take at once; so much it has taken already."""
        outcome = self._memory.outcome(head, repeat)
        outcome.started, outcome.begun, outcome.client = began, clock.steady(), connection.client
        self._reporter.accessed(repeat.entry_id, began)
        connection.lingers = False
        answer = self._app.repeated(outcome, repeat.body())
        self._runner.prepare(connection, answer, repeat.data[: outcome.head_bytes], repeat.framing)
        if taken and isinstance(connection.sending, Sending):
            connection.sending.skip(taken)
        self._runner.advance(connection, waits=False)
        if connection.send_status is None:
            # If it was not the client, the blob is damaged: the ordinary way sees to that.
            self._memory.forget(head, known)

    def _join(
        self, connection: ClientConnection, head: bytes, known: Known, repeat: Arriving, now: float
    ) -> bool:
        """The connection's own answer out of a download that runs."""
        answer = repeat.join(connection.client)
        if answer is None:
            self._memory.forget(head, known)
            return False
        connection.closes, connection.lingers = repeat.closes, False
        if now >= repeat.renew_at:
            repeat.renew(head_bytes(self._app.signed(answer), repeat.framing, closes=repeat.closes), now)
        self._runner.prepare(connection, answer, repeat.head, repeat.framing)
        self._runner.advance(connection, waits=False)
        return True

    def report(self) -> None:
        """Tell what was answered since the last time."""
        self.report_at = _NEVER
        now = clock.wall()
        for repeat in self._served:
            self._reporter.repeated(repeat.outcome, repeat.entry_id, repeat.hits, now)
            repeat.hits = 0
        self._served.clear()
        self.write_lines()

    def write_lines(self) -> None:
        """Give the access log its lines."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._reporter.write(lines)


def _sent(connection: ClientConnection, repeat: Stored) -> int:
    """How much of the answer the client took at once; what is wrong with it shows when more is sent."""
    file = repeat.file
    with contextlib.suppress(OSError):
        if file is None:
            return connection.send(repeat.data)
        # Not held back for the file: its pages go faster in packets of their own.
        taken = connection.send(repeat.data)
        if taken == len(repeat.data) and is_in_memory(file.fd, file.offset, file.offset + file.count):
            with contextlib.suppress(OSError):
                taken += os.sendfile(connection.fd, file.fd, file.offset, min(file.count, A_TURN))
        return taken
    return 0
