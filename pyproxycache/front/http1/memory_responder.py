"""Answers requests from memory, on the poller and without a thread."""

from __future__ import annotations

from msgspec.structs import replace

from pyproxycache import clock
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.request_activities import after
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import NEVER, Activity
from pyproxycache.front.loop.answer_writer import TURN_BYTES
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import Lingering
from pyproxycache.front.memory.memory import Known, Memory
from pyproxycache.front.memory.reusable_answers import Arriving, Stored
from pyproxycache.gates.authentication import Authentication
from pyproxycache.http1.answer_heads import head_bytes
from pyproxycache.report.reporter import Reporter


class MemoryResponder:
    """Answers requests with answers from memory, and reports them in batches; belongs to the poller.

    It gives none once the worker is to stop. `report_at` is when `report` is due (monotonic seconds):
    `report_after` seconds behind the first answer that the report will include. With `authentication` it
    answers only users whose passwords have been found right.
    """

    def __init__(
        self,
        reuse: AnswerReuse,
        reporter: Reporter,
        versions: memoryview,
        memory: Memory,
        context: ActivityContext,
        report_after: float,
        authentication: Authentication | None = None,
    ) -> None:
        self.report_at = NEVER
        self._report_after = report_after
        self._reuse = reuse
        self._reporter = reporter
        self._versions = versions
        self._memory = memory
        self._context = context
        self._authentication = authentication
        self._loop = context.loop
        lines = reporter.lines
        self._opening = None if lines is None else lines.opening
        self._lines: list[str] = []
        self._served: list[Stored] = []

    def respond(
        self, connection: ClientConnection, known: Known, *, waited: bool = False
    ) -> Activity | None:
        """Send the known answer, as far as the client takes it now; returns the activity that follows.

        None if the answer may not be given to this request. With `waited` the request has waited for a
        download to begin, and gets its answer even if no later request may.
        """
        answer = known.answer
        if known.scheme != connection.scheme:
            return None
        began, begun = clock.wall(), clock.steady()
        if self._versions[answer.slot] != answer.version or (
            not answer.since <= began < answer.until and not (waited and isinstance(answer, Arriving))
        ):
            self._memory.forget(known)
            return None
        if self._loop.is_stopping or not connection.is_admitted or connection.login.is_used:
            return None
        if self._authentication is not None and known.verdict.until <= begun:
            verdict = self._authentication.known(known.credentials())
            if verdict is None:
                return None
            known.verdict = verdict
        if isinstance(answer, Arriving):
            return self._join(connection, known, answer, began)
        if answer.is_inward and not connection.is_local:
            return None
        if began >= answer.renew_at:
            answer.renew(began)
        answer.uses += 1
        taken = _sent(connection, answer)
        if taken < answer.length:
            return self._send(connection, known, answer, began, taken)
        self._note(known, answer, began, clock.steady() - begun, connection.client)
        return Lingering(connection, self._loop, is_due=False) if answer.closes else connection.reading

    def _note(self, known: Known, stored: Stored, began: float, seconds: float, client: str) -> None:
        """Note an answer that was sent whole, for the next report and the access log."""
        if not stored.hits:
            self._served.append(stored)
            if self.report_at is NEVER:
                self.report_at = clock.steady() + self._report_after
        stored.hits += 1
        if self._opening is not None:
            if known.line_until != stored.renew_at:
                self._memory.tell(known, stored)
            self._lines.append(self._opening(began, seconds, client, stored.user) + known.line)

    def _send(
        self, connection: ClientConnection, known: Known, stored: Stored, began: float, taken: int
    ) -> Activity:
        """Send the rest of an answer that the client did not take at once, behind the bytes `taken`."""
        outcome = self._memory.outcome(known.head, stored)
        outcome = replace(outcome, started=began, begun=clock.steady(), client=connection.client)
        self._reporter.accessed(stored.entry_id, began)
        transaction = Transaction(connection)
        transaction.closes = stored.closes
        answer = self._reuse.from_memory(outcome, stored.body())
        writer = transaction.prepare(answer, stored.data[: outcome.head_bytes], stored.framing)
        if taken:
            writer.skip(taken)
        transaction.advance(waits=False)
        if transaction.status is None:
            # The client has gone, or the blob is damaged, which the next look-up finds out.
            self._memory.forget(known)
        return after(transaction, self._context)

    def _join(
        self, connection: ClientConnection, known: Known, arriving: Arriving, now: float
    ) -> Activity | None:
        """Send this client its own answer out of a running download; None if it can no longer be joined."""
        answer = arriving.join(connection.client)
        if answer is None:
            self._memory.forget(known)
            return None
        transaction = Transaction(connection)
        transaction.closes = arriving.closes
        if now >= arriving.renew_at:
            signed = self._reuse.signed(answer)
            arriving.renew(head_bytes(signed, arriving.framing, closes=arriving.closes), now)
        transaction.prepare(answer, arriving.head, arriving.framing)
        transaction.advance(waits=False)
        return after(transaction, self._context)

    def report(self) -> None:
        """Report the answers given since the last report."""
        self.report_at = NEVER
        now = clock.wall()
        for stored in self._served:
            self._reporter.repeated(stored.outcome(), stored.entry_id, stored.hits, now)
            stored.hits = 0
        self._served.clear()
        self.write_lines()

    def write_lines(self) -> None:
        """Give the access log the lines of the answers given since lines were last written."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._reporter.write(lines)


def _sent(connection: ClientConnection, stored: Stored) -> int:
    """How many bytes of the answer the client takes at once; an error shows when more is sent."""
    file, taken = stored.file, 0
    try:
        taken = connection.send(stored.data)
        # The head is not held back for the file: its pages go faster in packets of their own.
        if file is not None and stored.is_in_memory and taken == len(stored.data):
            taken += connection.stream.sendfile(file.fd, file.offset, min(file.count, TURN_BYTES))
    except OSError:
        pass
    return taken
