"""Answers for further clients out of one that was made before, or that is being downloaded."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.errors import ProxyError
from pyproxycache.facts import Facts, HeadMade
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.answers.signer import Signer
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.messages import Head
from pyproxycache.outcome import Outcome
from pyproxycache.report.reporter import Reporter
from pyproxycache.response import Response


class AnswerReuse:
    """Makes answers for further clients out of an existing one; each is a request that is reported.

    `is_inward` tells of an IP address whether only local clients may have what came from it.
    """

    def __init__(self, signer: Signer, reporter: Reporter, is_inward: Callable[[str], bool]) -> None:
        self._signer = signer
        self._reporter = reporter
        self.is_inward = is_inward

    def join(self, answered: Answer, client: str) -> Answer | None:
        """An answer for another client out of the same download; None if there can be none any more.

        `client` is that client's IP address. The head is not signed yet.
        """
        reuse_terms, theirs = answered.response.reuse_terms, answered.outcome
        if reuse_terms is None or reuse_terms.again is None:
            return None
        known = Outcome(
            method=theirs.method,
            target=theirs.target,
            url=theirs.url,
            way=theirs.way,
            route=theirs.route,
            version=theirs.version,
            referer=theirs.referer,
            user_agent=theirs.user_agent,
            client=client,
            user=theirs.user,
            announced=theirs.announced and theirs.announced.again(theirs.announced.headers),
            started=clock.wall(),
            begun=clock.steady(),
        )
        facts = Facts(known)
        try:
            response = reuse_terms.again(client, facts)
        except ProxyError:
            return None
        if response is None:
            return None
        facts.note(HeadMade(response.head.status, theirs.content_type))
        return Answer(response, known, facts, self._reporter.finished, answered.present)

    def signed(self, answer: Answer) -> Head:
        """The signed head of an answer that join() gave."""
        answered = Answered(answer.response, is_of_cache=True, present=answer.present)
        return self._signer.signed(answered, answer.facts).response.head

    def from_memory(self, outcome: Outcome, body: Body) -> Answer:
        """The Answer that reports one given from memory, whose head bytes are made already."""
        response = Response(Head(outcome.status), body, outcome.bytes_sent)
        return Answer(response, outcome, Facts(outcome), self._reporter.finished)
