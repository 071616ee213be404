"""A pool: sends each request to a member that is well, and once more to another one where that is safe."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from pyproxycache import clock
from pyproxycache.errors import NoMemberLeft, UpstreamError
from pyproxycache.messages import Head, Request
from pyproxycache.upstream.pools.choosing import Eligible, Way, choose
from pyproxycache.upstream.pools.health import Health, HealthTerms
from pyproxycache.upstream.pools.member import Handed, Member, NoteSent
from pyproxycache.upstream.pools.member_heads import as_of_pool, without_range_by_date
from pyproxycache.upstream.pools.pool_watch import PoolWatch, Unwatched
from pyproxycache.upstream.pools.retry_budget import RetryBudget
from pyproxycache.url import Url

log = logging.getLogger("pyproxycache.upstream")

_UNWATCHED = Unwatched()
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class MemberAnswer(Protocol):
    """An answer that a member has begun."""

    head: Head

    def at_end(self, call: Callable[[], None]) -> None:
        """Have this called once it has come to its end or is closed."""

    def close(self) -> None:
        """Give up the rest."""


AnswerType = TypeVar("AnswerType", bound=MemberAnswer)
Send = Callable[[Request, NoteSent], AnswerType]
"""Sends a request to its URL, and says so before; raises what Upstream.send() does."""


@dataclass(frozen=True, slots=True)
class PoolTerms:
    """How a pool chooses, what counts as a failure, and how many requests may be sent once more."""

    way: Way
    health: HealthTerms
    statuses: frozenset[int]
    retries: float


class Pool:
    """The members that may answer the same requests, as this process knows them.

    `first_turn` is the number of the first request. The members' health, the turn and the budget are
    guarded by `_lock`. `watch` is told what becomes of members and requests. Safe to use from any thread.
    """

    def __init__(
        self,
        members: Sequence[Member],
        terms: PoolTerms,
        first_turn: int = 0,
        watch: PoolWatch = _UNWATCHED,
    ) -> None:
        self.members = members
        self._terms = terms
        self._turn = first_turn
        self._budget = RetryBudget(terms.retries)
        self._lock = threading.Lock()
        self._watch = watch
        for member in members:
            watch.became(member.url, member.health.state)

    def sent(self, request: Request, deadline: float | None, send: Send[AnswerType]) -> AnswerType:
        """What the request is answered with, by one member or, where that fails, by another.

        There is no second try from the deadline (monotonic) on. Raises NoMemberLeft if no member may be
        asked now, and what `send` does.
        """
        with self._lock:
            self._budget = self._budget.earned()
        handed = self._next(request, None)
        if handed is None:
            raise self._none_left(request)
        try:
            answered = self._tried(request, handed, send)
        except UpstreamError:
            other = self._other(request, handed, deadline)
            if other is None:
                raise
        else:
            has_failed = answered.head.status in self._terms.statuses
            other = self._other(request, handed, deadline) if has_failed else None
            if other is None:
                return self._given(request, handed, answered)
            answered.close()
        return self._given(request, other, self._tried(request, other, send))

    def checked(self, member: Member, *, is_well: bool) -> None:
        """Note what a health check has found."""
        self._watch.was_checked(member.url, is_well=is_well)
        self._change(member, lambda health: health.checked(clock.steady(), is_well=is_well))

    def _tried(self, request: Request, handed: Handed, send: Send[AnswerType]) -> AnswerType:
        """The member's answer, whatever its status, after noting what it shows of the member's health."""
        try:
            answered = send(self._for_member(request, handed.member.url), handed.note_sent)
        except UpstreamError:
            self._note(handed, is_failure=True)
            handed.end()
            raise
        except BaseException:
            self._change(handed.member, lambda health: health.left(is_trial=handed.is_trial))
            handed.end()
            raise
        self._note(handed, is_failure=answered.head.status in self._terms.statuses)
        answered.at_end(handed.end)
        return answered

    def _given(self, request: Request, handed: Handed, answered: AnswerType) -> AnswerType:
        if request.pool is not None and request.pool.has_several:
            answered.head = as_of_pool(answered.head, handed.member.url, self.members[0].url)
        return answered

    def _for_member(self, request: Request, member: Url) -> Request:
        url = Url(member.scheme, member.host, member.port, request.url.target)
        several = request.pool is not None and request.pool.has_several
        headers = without_range_by_date(request.headers) if several else request.headers
        return replace(request, url=url, headers=headers)

    def _next(self, request: Request, failed: Member | None) -> Handed | None:
        """The request handed to a member other than the one that failed; None if no one may be asked.

        Where others are in, only a request that can be sent once more tries one that is not, and no second
        try does.
        """
        now = clock.steady()
        with self._lock:
            eligible = [
                Eligible(place, one.weight, len(one.answering))
                for place, one in enumerate(self.members)
                if one is not failed and one.health.takes(now)
            ]
            certain = [one for one in eligible if self.members[one.place].health.is_in]
            if certain and (failed is not None or not is_repeatable(request)):
                eligible = certain
            if not eligible:
                return None
            self._turn += 1
            if request.logs_in:
                eligible = eligible[:1]  # where its connection is
            place = choose(eligible, self._turn, self._terms.way)
            member = self.members[place]
            handed = Handed(member, is_trial=not member.health.is_in)
            self._set(member, member.health.given())
            return handed

    def _other(self, request: Request, handed: Handed, deadline: float | None) -> Handed | None:
        """The request handed to another member after one that failed; None if that is not to be."""
        if handed.was_sent and (request.logs_in or not is_repeatable(request)):
            return None
        if deadline is not None and clock.steady() >= deadline:
            return None
        with self._lock:
            if self._budget.spent() is None:
                return None
        other = self._next(request, handed.member)
        if other is not None:
            self._watch.sent_again()
            with self._lock:
                self._budget = self._budget.spent() or self._budget
        return other

    def _note(self, handed: Handed, *, is_failure: bool) -> None:
        now, is_trial = clock.steady(), handed.is_trial
        self._watch.answered(handed.member.url, has_failed=is_failure)

        def changed(health: Health) -> Health:
            if is_failure:
                return health.failed(now, self._terms.health, is_trial=is_trial)
            return health.succeeded(now, is_trial=is_trial)

        self._change(handed.member, changed)

    def _change(self, member: Member, changed: Callable[[Health], Health]) -> None:
        with self._lock:
            before, now = member.health, changed(member.health)
            self._set(member, now)
        if before.is_in != now.is_in:
            log.warning("%s %s", member.url, "is in again" if now.is_in else _why_out(now))

    def _set(self, member: Member, now: Health) -> None:
        """Set the member's health; the caller has the lock, so that what is told last is so."""
        before, member.health = member.health, now
        if before.state != now.state:
            self._watch.became(member.url, now.state)

    def _none_left(self, request: Request) -> NoMemberLeft:
        now = clock.steady()
        self._watch.none_left()
        with self._lock:
            waits = [one.health.wait(now, self._terms.health) for one in self.members]
        seconds = max(1, math.ceil(min(waits)))
        text = f"no upstream of {request.url.path} can be asked now"
        return NoMemberLeft(text, headers=(("Retry-After", str(seconds)),))


def is_repeatable(request: Request) -> bool:
    """Whether the request may be sent again without harm."""
    return request.body is None and request.method in _SAFE


def _why_out(health: Health) -> str:
    return "is out: its health check fails" if health.is_ill else "is out: it has failed too often"
