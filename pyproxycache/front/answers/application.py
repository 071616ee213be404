"""From a received request to its answer: access, the one handler, the signature, the report."""

from __future__ import annotations

from pyproxycache import clock
from pyproxycache.errors import Fault, ProxyError
from pyproxycache.front.answers.answer import Answer, report_ended
from pyproxycache.front.answers.signer import Signer
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.router import Router
from pyproxycache.gates.access import Access
from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.reporter import Reporter
from pyproxycache.serving import responses
from pyproxycache.steps import Steps


class Application:
    """Answers requests; each is reported once, with one Outcome. Any number of threads call it."""

    def __init__(self, access: Access, router: Router, signer: Signer, reporter: Reporter) -> None:
        self._access = access
        self._router = router
        self._signer = signer
        self._reporter = reporter

    @property
    def name(self) -> str:
        """The cache's name in Via."""
        return self._signer.name

    def answer(self, received: RawRequest) -> Steps[Answer]:
        """The answer, which reports the request when it is closed; without one that is done here."""
        outcome = _begun(received)
        try:
            answered = yield from self._admitted(received, outcome)
        except GeneratorExit:  # the client went away before there was an answer
            outcome.status, outcome.aborted = 0, True
            report_ended(outcome, self._reporter.finished)
            raise
        except BaseException:
            outcome.status = 500
            report_ended(outcome, self._reporter.finished)
            raise
        response = self._signer.signed(answered, outcome)
        return Answer(response, outcome, self._reporter.finished, answered.present)

    def refused(self, client: str, status: int, head_bytes: int, body_bytes: int) -> None:
        """Report a request that was no HTTP, and was refused before it came here."""
        outcome = Outcome(Result.REFUSED, status=status, client=client, content_type="text/plain")
        outcome.started, outcome.begun = clock.wall(), clock.steady()
        outcome.head_bytes, outcome.bytes_sent = head_bytes, body_bytes
        report_ended(outcome, self._reporter.finished)

    def _admitted(self, received: RawRequest, outcome: Outcome) -> Steps[Answered]:
        """The answer, or what is said in place of one."""
        try:
            self._access.check(outcome.client)
            return (yield from self._router.answer(received, outcome))
        except ProxyError as error:
            outcome.result = Result.REFUSED if error.fault is Fault.CLIENT else Result.FAILED
            return Answered(responses.from_error(error), is_of_cache=False)


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
