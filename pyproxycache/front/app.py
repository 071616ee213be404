"""From a received request to its answer: gates, the cache's own pages, the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.errors import Fault, MethodNotAllowed, ProxyError
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.loop.turns import Shares
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.router import Router
from pyproxycache.gates.access import Access, Guard
from pyproxycache.http1.answer_heads import framed
from pyproxycache.messages import Head, Response, without_query
from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.reporter import Reporter
from pyproxycache.serving import answer
from pyproxycache.serving.status_fields import cache_status
from pyproxycache.steps import Steps

log = logging.getLogger("pyproxycache")

Report = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class AppOptions:
    """The cache's name in Via and Cache-Status.

    `tells_key`: whether Cache-Status has the cache key. `memory`: bytes of answers kept in memory.
    `shares`: how many threads may wait for origins; None: the usual ones. `half_closed`: seconds for which
    a client that sends no more is thought to wait.
    """

    name: str
    tells_key: bool = True
    memory: int = 0
    shares: Shares | None = None
    half_closed: float = 2.0


@dataclass(frozen=True, slots=True)
class WorkerHooks:
    """What a worker needs beside the answers.

    `reopen_logs` is for files that were renamed,
    `finish_logs` for an end without delay. `close` ends the worker's parts: it lets running downloads
    finish for so many seconds.
    """

    reopen_logs: Callable[[], None]
    finish_logs: Callable[[], None]
    close: Callable[[float], None]


class App:
    """Answers requests; the reporter is told of exactly one Outcome for each.

    `versions` are those of the keys, see store.versions.
    """

    def __init__(
        self,
        options: AppOptions,
        access: Access,
        guard: Guard,
        router: Router,
        reporter: Reporter,
        versions: memoryview,
        around: WorkerHooks,
    ) -> None:
        self.name = options.name
        self.memory_size = options.memory
        self.shares = options.shares
        self.half_closed = options.half_closed
        self.reporter = reporter
        self.versions = versions
        self.around = around
        self.admits = access.admits
        self.is_inward = guard.is_inward
        self._options = options
        self._access = access
        self._router = router
        self._report = reporter.finished

    def __call__(self, received: RawRequest) -> Steps[Answer]:
        outcome = _begun(received)
        try:
            answered = yield from self._admitted(received, outcome)
        except GeneratorExit:  # the client went away before there was an answer
            outcome.status, outcome.aborted = 0, True
            _report(outcome, self._report)
            raise
        except BaseException:
            outcome.status = 500
            _report(outcome, self._report)
            raise
        return self._signed(answered, outcome)

    def join(self, answered: Answer, client: str) -> Answer | None:
        """The same answer for another client, of a download that runs; None where it has to ask itself.

        Its head is yet to be signed.
        """
        reuse_terms = answered.response.reuse_terms
        if reuse_terms is None or reuse_terms.again is None:
            return None
        theirs = answered.outcome
        outcome = Outcome(
            method=theirs.method,
            target=theirs.target,
            url=theirs.url,
            version=theirs.version,
            referer=theirs.referer,
            user_agent=theirs.user_agent,
            client=client,
            started=clock.wall(),
            begun=clock.steady(),
        )
        try:
            response = reuse_terms.again(client, outcome)
        except ProxyError:
            return None
        if response is None:
            return None
        outcome.status, outcome.content_type = response.head.status, theirs.content_type
        return Answer(response, outcome, self._report, answered.present)

    def signed(self, answer: Answer) -> Head:
        """The head of such an answer."""
        answered = Answered(answer.response, is_of_cache=True, present=answer.present)
        return self._signed(answered, answer.outcome).response.head

    def repeated(self, outcome: Outcome, body: Body) -> Answer:
        """An answer that was given before, whose head is known."""
        return Answer(Response(Head(outcome.status), body, outcome.bytes_sent), outcome, self._report)

    def _signed(self, answered: Answered, outcome: Outcome) -> Answer:
        present = answered.present
        response = replace(answered.response, head=present(answered.response.head))
        outcome.status = response.head.status
        name, tells_key = self.name, self._options.tells_key
        said = cache_status(outcome, name, with_key=tells_key) if answered.is_of_cache else ""
        response = answer.signed(response, name, said, clock.wall())
        outcome.content_type = response.head.headers.get("content-type") or ""
        headers = framed(outcome.method, response)
        if outcome.result is Result.REFUSED and outcome.status in (400, 501):
            # What was misunderstood once can be so again: the next request comes on another connection.
            headers = headers.with_line("Connection", "close")
        response = replace(response, head=replace(response.head, headers=headers))
        return Answer(response, outcome, self._report, present)

    def refused(self, client: str, status: int, head_bytes: int, body_bytes: int) -> None:
        """Report what was no HTTP, and was answered so."""
        outcome = Outcome(Result.REFUSED, status=status, client=client, content_type="text/plain")
        outcome.started, outcome.begun = clock.wall(), clock.steady()
        outcome.head_bytes, outcome.bytes_sent = head_bytes, body_bytes
        _report(outcome, self._report)

    def _admitted(self, received: RawRequest, outcome: Outcome) -> Steps[Answered]:
        """The answer, or what is said in place of one."""
        try:
            self._access.check(outcome.client)
            return (yield from self._router.answer(received, outcome))
        except ProxyError as error:
            outcome.result = Result.REFUSED if error.fault is Fault.CLIENT else Result.FAILED
            refusal = answer.from_error(error)
            if isinstance(error, MethodNotAllowed):
                headers = refusal.head.headers.with_field("Allow", "GET, HEAD")
                refusal = replace(refusal, head=replace(refusal.head, headers=headers))
            return Answered(refusal, is_of_cache=False)


class Answer:
    """The answer to one request; closing it is the end of the request.

    Behind the head of an answer with a `tunnel`, the connection is the tunnel's. `present` made its head,
    and makes those of others who are given the same.
    """

    def __init__(
        self, response: Response, outcome: Outcome, report: Report, present: Present = as_it_is
    ) -> None:
        self.response = response
        self.present = present
        self.tunnel = response.body if isinstance(response.body, Tunnel) else None
        self.outcome = outcome
        self._report = report

    @property
    def body(self) -> Body:
        return self.response.body

    def sent(self, head_bytes: int, body_bytes: int) -> None:
        """How much of the answer the client was sent."""
        self.outcome.head_bytes, self.outcome.bytes_sent = head_bytes, body_bytes

    def aborted(self) -> None:
        """It did not get to its end, for the client went away."""
        self.outcome.aborted = True

    def failed(self, error: ProxyError) -> None:
        """It ended short, and the client was told so by breaking the connection."""
        log.info("broke off %s: %s", without_query(self.outcome.key), error)
        self.outcome.result = Result.FAILED
        self.outcome.aborted = True

    def close(self) -> None:
        self.body.close()
        _report(self.outcome, self._report)


def _begun(received: RawRequest) -> Outcome:
    """What is known of a request before anything is done with it."""
    major, minor = received.version
    return Outcome(
        started=clock.wall(),
        begun=clock.steady(),
        client=received.client,
        method=received.method,
        target=received.target,
        version=f"HTTP/{major}.{minor}",
        referer=received.field("referer"),
        user_agent=received.field("user-agent"),
    )


def _report(outcome: Outcome, report: Report) -> None:
    outcome.seconds = clock.steady() - outcome.begun
    report(outcome)
