"""Answers requests from memory, on the poller and without a thread."""

from __future__ import annotations

from msgspec.structs import replace

from pyproxycache import clock
from pyproxycache.announced import Announced
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.request_activities import after
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import NEVER, Activity
from pyproxycache.front.loop.answer_writer import TURN_BYTES
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import Lingering
from pyproxycache.front.memory.arriving import Arriving
from pyproxycache.front.memory.memory import Known, Memory
from pyproxycache.front.memory.refusal import Refusal
from pyproxycache.front.memory.reusable_answers import Repeated
from pyproxycache.front.requests.simple import fields_of
from pyproxycache.gates.authentication import Authentication
from pyproxycache.http1.answer_heads import head_bytes
from pyproxycache.report.reporter import GivenAgain, Reporter
from pyproxycache.response import Readmission


class MemoryResponder:
    """Answers requests with answers from memory, and reports them in batches; belongs to the poller.

    It gives none once the worker is to stop. `report_at` is when `report` is due (monotonic seconds):
    `report_after` seconds behind the first answer that the report will include. With `authentication` it
    answers only users whose passwords have been found right. An answer with a readmission is given to those
    whom that lets in.
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
        self._format = reporter.lines
        self._lines: list[str] = []
        self._served: list[Repeated] = []

    def respond(
        self, connection: ClientConnection, known: Known, *, waited: bool = False
    ) -> Activity | None:
        """Send the known answer, as far as the client takes it now; returns the activity that follows.

        None if the answer may not be given to this request. With `waited` the request has waited for a
        download to begin, and gets its answer even if no later request may.
        """
        answer = known.answer
        if known.ingress is not connection.ingress:
            return None
        began, begun = clock.wall(), clock.steady()
        if isinstance(answer, Refusal):
            is_over = not answer.since <= began < answer.until
        else:
            is_over = self._versions[answer.slot] != answer.version or (
                not answer.since <= began < answer.until and not (waited and isinstance(answer, Arriving))
            )
        if is_over:
            self._memory.forget(known)
            return None
        if self._loop.is_stopping or not connection.is_admitted or connection.login.is_used:
            return None
        if self._authentication is not None and not self._has_user(self._authentication, known, begun):
            return None
        if isinstance(answer, Refusal):
            if not answer.refuses(connection.client):
                self._memory.forget(known)
                return None
            return self._give(connection, known, answer, began, begun)
        if isinstance(answer, Arriving):
            return self._join(connection, known, answer, began)
        if answer.is_inward and not connection.is_local:
            return None
        if began >= answer.renew_at:
            answer.renew(began)
        lines = b""
        if answer.readmission is not None:
            readmitted = _readmitted(answer.readmission, known, connection.client)
            if readmitted is None:
                return None
            lines = readmitted
        if answer.slide:
            answer.prolong(began)
        answer.uses += 1
        return self._give(connection, known, answer, began, begun, lines)

    def _has_user(self, authentication: Authentication, known: Known, now: float) -> bool:
        """Whether the request is known to be a user's: by its connection, or by its own credentials."""
        ingress = known.ingress
        if ingress.user:
            return authentication.is_still(ingress.user, ingress.password_hash)
        if known.verdict.until <= now:
            verdict = authentication.known(known.credentials())
            if verdict is None:
                return False
            known.verdict = verdict
        return True

    def _give(
        self,
        connection: ClientConnection,
        known: Known,
        answer: Repeated,
        began: float,
        begun: float,
        lines: bytes = b"",
    ) -> Activity:
        """Send the answer, with the lines of fields that its head has for this request alone."""
        taken = _sent(connection, answer, lines)
        if taken < answer.length + len(lines):
            return self._send(connection, known, answer, began, taken, lines)
        self._note(known, answer, began, clock.steady() - begun, connection.client, len(lines))
        return Lingering(connection, self._loop, is_due=False) if answer.closes else connection.reading

    def _note(
        self, known: Known, repeated: Repeated, began: float, seconds: float, client: str, more: int
    ) -> None:
        """Note an answer that was sent whole, with `more` bytes, for report, log, and as an event."""
        if not repeated.hits:
            self._served.append(repeated)
            if self.report_at is NEVER:
                self.report_at = clock.steady() + self._report_after
        repeated.hits += 1
        if self._format is not None:
            if more:
                outcome = self._memory.outcome(known.head, repeated)
                rest = self._format.rest(replace(outcome, head_bytes=outcome.head_bytes + more))
            else:
                if known.line_until != repeated.renew_at:
                    self._memory.tell(known, repeated)
                rest = known.line
            self._lines.append(self._format.opening(began, seconds, client, repeated.user) + rest)
        if repeated.announced is not None:
            outcome = replace(repeated.outcome(), started=began, seconds=seconds, client=client)
            self._reporter.announce(outcome, _announced(known, repeated.announced))

    def _send(
        self,
        connection: ClientConnection,
        known: Known,
        repeated: Repeated,
        began: float,
        taken: int,
        lines: bytes = b"",
    ) -> Activity:
        """Send the rest of an answer that the client did not take at once, behind the bytes `taken`.

        `lines` are those of fields that its head has for this request alone.
        """
        outcome = self._memory.outcome(known.head, repeated)
        head = repeated.data[: outcome.head_bytes]
        if lines:
            head = _with_lines(head, lines)
        outcome = replace(
            outcome,
            started=began,
            begun=clock.steady(),
            client=connection.client,
            announced=repeated.announced and _announced(known, repeated.announced),
            head_bytes=len(head),
        )
        if repeated.entry_id:
            self._reporter.accessed(repeated.entry_id, began)
        transaction = Transaction(connection)
        transaction.closes = repeated.closes
        answer = self._reuse.from_memory(outcome, repeated.body())
        writer = transaction.prepare(answer, head, repeated.framing)
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
        given = [GivenAgain(one.outcome(), one.entry_id, one.hits) for one in self._served]
        self._reporter.repeated(given, clock.wall())
        for one in self._served:
            one.hits = 0
        self._served.clear()
        self.write_lines()

    def write_lines(self) -> None:
        """Give the access log the lines of the answers given since lines were last written."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._reporter.write(lines)


def _announced(known: Known, first: Announced) -> Announced:
    """What an event of a request with the known head tells, by that of the first with this answer."""
    if known.announced is None:
        known.announced = first.again(fields_of(known.head))
    return known.announced


def _readmitted(readmission: Readmission, known: Known, client: str) -> bytes | None:
    """The lines of the fields that the answer has for this request; None if a thread has to decide."""
    fields = known.readmit(readmission)(client)
    if fields is None:
        return None
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")


def _with_lines(head: bytes, lines: bytes) -> bytes:
    """The head with these lines at its end."""
    return b"%b%b\r\n" % (head[:-2], lines)


def _sent(connection: ClientConnection, answer: Repeated, lines: bytes) -> int:
    """How many bytes of the answer the client takes at once; an error shows when more is sent."""
    file, taken, data = answer.file, 0, answer.data
    if lines:
        data = _with_lines(data[: answer.head_size], lines) + data[answer.head_size :]
    try:
        taken = connection.send(data)
        # The head is not held back for the file: its pages go faster in packets of their own.
        if file is not None and answer.is_in_memory and taken == len(data):
            taken += connection.stream.sendfile(file.fd, file.offset, min(file.count, TURN_BYTES))
    except OSError:
        pass
    return taken
