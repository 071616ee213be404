"""From a received request to its answer: access, user, handler, signature, and report."""

from __future__ import annotations

from pyproxycache import clock
from pyproxycache.engine import failed
from pyproxycache.errors import ProxyError
from pyproxycache.facts import AnswerSent, ClientLeft, Facts, HeadMade, ServedAs
from pyproxycache.front.answers.answer import Answer, report_ended
from pyproxycache.front.answers.signer import Signer
from pyproxycache.front.answers.user_check import UserCheck
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.router import Router
from pyproxycache.gates.access import Access
from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.reporter import Reporter
from pyproxycache.steps import Steps


class Application:
    """Answers requests and reports each once, with one Outcome; safe to call from any number of threads."""

    def __init__(
        self,
        access: Access,
        router: Router,
        signer: Signer,
        reporter: Reporter,
        user_check: UserCheck | None = None,
    ) -> None:
        """With a `user_check` only users get answers."""
        self._access = access
        self._user_check = user_check
        self._router = router
        self._signer = signer
        self._reporter = reporter

    @property
    def name(self) -> str:
        """The cache's name in Via."""
        return self._signer.name

    def answer(self, received: RawRequest) -> Steps[Answer]:
        """The answer, which reports the request when it is closed.

        If there is no answer, because the client left or the cache failed, the request is reported here.
        """
        facts = _begun(received)
        try:
            answered = yield from self._admitted(received, facts)
        except GeneratorExit:  # the client went away before there was an answer
            facts.note(ClientLeft())
            report_ended(facts, self._reporter.finished)
            raise
        except BaseException:
            facts.note(HeadMade(500))
            report_ended(facts, self._reporter.finished)
            raise
        response, outcome = self._signer.signed(answered, facts)
        return Answer(response, outcome, facts, self._reporter.finished, answered.present)

    def refused(self, client: str, status: int, head_bytes: int, body_bytes: int) -> None:
        """Report a request that was not valid HTTP, and was refused before it came here."""
        facts = Facts(Outcome(client=client, started=clock.wall(), begun=clock.steady()))
        facts.note(ServedAs(Result.REFUSED), HeadMade(status, "text/plain"))
        facts.note(AnswerSent(head_bytes, body_bytes))
        report_ended(facts, self._reporter.finished)

    def _admitted(self, received: RawRequest, facts: Facts) -> Steps[Answered]:
        """The handler's answer, or the error that takes its place."""
        try:
            self._access.check(received.client)
            if self._user_check is not None:
                received = yield from self._user_check.passed(received, facts)
            return (yield from self._router.answer(received, facts))
        except ProxyError as error:
            return Answered(failed(error, facts), is_of_cache=False)


def _begun(received: RawRequest) -> Facts:
    """The facts of a request before anything is done with it."""
    major, minor = received.version
    known = Outcome(
        started=clock.wall(),
        begun=clock.steady(),
        client=received.client,
        method=received.method,
        target=received.target,
        version=f"HTTP/{major}.{minor}",
        referer=received.field("referer"),
        user_agent=received.field("user-agent"),
    )
    return Facts(known)
