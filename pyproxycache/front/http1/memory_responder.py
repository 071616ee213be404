"""Answers requests from memory on the poller, without a thread, where the remembered answer still holds."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache import clock
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.request_activities import after
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import NEVER, Activity
from pyproxycache.front.loop.answer_writer import A_TURN
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import Lingering
from pyproxycache.front.memory.memory import Known, Memory
from pyproxycache.front.memory.reusable_answers import Arriving, Stored
from pyproxycache.http1.answer_heads import head_bytes
from pyproxycache.report.reporter import Reporter


class MemoryResponder:
    """Gives remembered answers again, and reports them in batches; belongs to the poller.

    Nothing is repeated once the worker is to stop. `report_at` is when `report` is due (monotonic), that is
    `report_after` seconds behind the first answer that it tells of.
    """

    def __init__(
        self,
        reuse: AnswerReuse,
        reporter: Reporter,
        versions: memoryview,
        memory: Memory,
        context: ActivityContext,
        report_after: float,
    ) -> None:
        self.report_at = NEVER
        self._report_after = report_after
        self._reuse = reuse
        self._reporter = reporter
        self._versions = versions
        self._memory = memory
        self._context = context
        self._loop = context.loop
        lines = reporter.lines
        self._opening = None if lines is None else lines.opening
        self._lines: list[str] = []
        self._served: list[Stored] = []

    def repeat(
        self, connection: ClientConnection, head: bytes, known: Known, *, waited: bool = False
    ) -> Activity | None:
        """Send the answer, or as much as the client takes; gives what comes after that.

        None where it cannot be given again. Who `waited` for a download gets it even if it is not to be
        used again.
        """
        repeat = known.repeat
        began, begun = clock.wall(), clock.steady()
        if self._versions[repeat.slot] != repeat.version or (
            not repeat.since <= began < repeat.until and not (waited and isinstance(repeat, Arriving))
        ):
            self._memory.forget(head, known)
            return None
        if self._loop.is_stopping or not connection.is_admitted or connection.login.is_used:
            return None
        if isinstance(repeat, Arriving):
            return self._join(connection, head, known, repeat, began)
        if repeat.is_inward and not connection.is_local:
            return None
        if began >= repeat.renew_at:
            repeat.renew(began)
        repeat.uses += 1
        taken = _sent(connection, repeat)
        if taken < repeat.length:
            return self._send(connection, head, known, repeat, began, taken)
        self._note(head, known, repeat, began, clock.steady() - begun, connection.client)
        return Lingering(connection, self._loop, is_due=False) if repeat.closes else connection.reading

    def _note(
        self, head: bytes, known: Known, repeat: Stored, began: float, seconds: float, client: str
    ) -> None:
        if not repeat.hits:
            self._served.append(repeat)
            if self.report_at is NEVER:
                self.report_at = clock.steady() + self._report_after
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
    ) -> Activity:
        """The longer way, for what the client did not take at once; so much it has taken already."""
        outcome = self._memory.outcome(head, repeat)
        outcome = replace(outcome, started=began, begun=clock.steady(), client=connection.client)
        self._reporter.accessed(repeat.entry_id, began)
        transaction, runner = Transaction(connection), self._context.runner
        transaction.closes = repeat.closes
        answer = self._reuse.repeated(outcome, repeat.body())
        writer = runner.prepare(transaction, answer, repeat.data[: outcome.head_bytes], repeat.framing)
        if taken:
            writer.skip(taken)
        runner.advance(transaction, waits=False)
        if transaction.status is None:
            # If it was not the client, the blob is damaged: the ordinary way sees to that.
            self._memory.forget(head, known)
        return after(transaction, self._context)

    def _join(
        self, connection: ClientConnection, head: bytes, known: Known, repeat: Arriving, now: float
    ) -> Activity | None:
        """The connection's own answer out of a download that runs."""
        answer = repeat.join(connection.client)
        if answer is None:
            self._memory.forget(head, known)
            return None
        transaction, runner = Transaction(connection), self._context.runner
        transaction.closes = repeat.closes
        if now >= repeat.renew_at:
            signed = self._reuse.signed(answer)
            repeat.renew(head_bytes(signed, repeat.framing, closes=repeat.closes), now)
        runner.prepare(transaction, answer, repeat.head, repeat.framing)
        runner.advance(transaction, waits=False)
        return after(transaction, self._context)

    def report(self) -> None:
        """Report what was answered since the last report."""
        self.report_at = NEVER
        now = clock.wall()
        for repeat in self._served:
            self._reporter.repeated(repeat.outcome(), repeat.entry_id, repeat.hits, now)
            repeat.hits = 0
        self._served.clear()
        self.write_lines()

    def write_lines(self) -> None:
        """Give the access log the lines of what was answered since they were last written."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._reporter.write(lines)


def _sent(connection: ClientConnection, repeat: Stored) -> int:
    """How much of the answer the client took at once; what is wrong with it shows when more is sent."""
    file, taken = repeat.file, 0
    try:
        taken = connection.send(repeat.data)
        # The head is not held back for the file: its pages go faster in packets of their own.
        if file is not None and repeat.is_in_memory and taken == len(repeat.data):
            taken += connection.stream.sendfile(file.fd, file.offset, min(file.count, A_TURN))
    except OSError:
        pass
    return taken
