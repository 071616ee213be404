"""What is told of the gates of routes: limits, and tokens with the questions that are asked for them."""

from __future__ import annotations

from functools import partial

from pyproxycache.gates.introspection.token_tally import NoteQuestion, TokenTally
from pyproxycache.gates.limits.limit_tally import LimitTally
from pyproxycache.report.metrics.family import SECONDS, Family, Kind
from pyproxycache.report.metrics.metrics import Metrics

LIMITED = Family(
    "pyproxycache_limit_requests",
    "Requests that a limit has let in or refused.",
    labels=("route", "limit", "result"),
)
TOKENS = Family(
    "pyproxycache_tokens", "Requests whose token was looked at, and what it is.", labels=("route", "result")
)
QUESTIONS = Family(
    "pyproxycache_token_question_duration_seconds",
    "Seconds that endpoints and sources of keys took to answer.",
    Kind.HISTOGRAM,
    ("route", "result"),
    SECONDS,
)


class GateMetrics:
    """Makes what counts for the gates of a route; its name is the label."""

    def __init__(self, metrics: Metrics) -> None:
        metrics.declare(LIMITED, TOKENS, QUESTIONS)
        self._metrics = metrics

    def of_limit(self, route: str, limit: str) -> LimitTally:
        """What counts the requests that the limit with this name has decided of."""
        of = partial(self._metrics.counter, LIMITED, route, limit)
        return LimitTally(of("admitted"), of("refused"))

    def of_limit_by_memory(self, route: str, limit: str) -> LimitTally:
        """As `of_limit`, for memory, which one thread uses; what it refuses comes to the gates."""
        return LimitTally(self._metrics.lone_counter(LIMITED, route, limit, "admitted"))

    def of_tokens(self, route: str) -> TokenTally:
        """What counts the requests for the route by their tokens."""
        of = partial(self._metrics.counter, TOKENS, route)
        return TokenTally(of("valid"), of("remembered"), of("refused"), of("failed"))

    def of_tokens_by_memory(self, route: str) -> TokenTally:
        """As `of_tokens`, for memory, which one thread uses."""
        return TokenTally(remembered=self._metrics.lone_counter(TOKENS, route, "remembered"))

    def of_questions(self, route: str) -> NoteQuestion:
        """What notes the questions that are asked for tokens of the route."""

        def note(seconds: float, has_failed: bool) -> None:
            self._metrics.observe(QUESTIONS, seconds, route, "failed" if has_failed else "answered")

        return note
