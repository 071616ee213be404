"""The record of a request, made of its facts: the one place that says what each of them means for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct

from pyproxycache.errors import Fault
from pyproxycache.facts import (
    AnswerBroken,
    AnswerSent,
    Attempted,
    AttemptFailed,
    Authenticated,
    BeingStored,
    Came,
    ClientLeft,
    Collapsed,
    EventDue,
    Fact,
    Facts,
    Forwarded,
    ForwardedAlone,
    HeadMade,
    Identified,
    Located,
    NotStored,
    OriginConnected,
    OriginReplied,
    RequestEnded,
    ServedAs,
)
from pyproxycache.outcome import Forward, Outcome, Result


def outcome_of(facts: Facts) -> Outcome:
    """The record of a request by what is known of it up to now."""
    return folded(facts.known, facts.noted(), facts.received.total, facts.uploaded.total)


def folded(known: Outcome, facts: Iterable[Fact], received: int = 0, uploaded: int = 0) -> Outcome:
    """The record that facts make of what was `known` before them, with the bytes of the meantime."""
    attempt = _Attempt.of(known)
    url, user, request_id = known.url, known.user, known.request_id
    peer, through_parent = known.peer, known.through_parent
    way, route = known.way, known.route
    status, content_type = known.status, known.content_type
    head_bytes, bytes_sent = known.head_bytes, known.bytes_sent
    aborted, seconds, announced = known.aborted, known.seconds, known.announced
    for fact in facts:
        match fact:
            case Attempted():
                attempt = _Attempt(fact.key)
            case Located():
                url = fact.url
            case Came():
                way, route = fact.way, fact.route
            case Authenticated():
                user = fact.user
            case Identified():
                request_id = fact.request_id
            case EventDue():
                announced = fact.announced
            case OriginConnected():
                peer, through_parent = fact.peer, fact.through_parent
            case HeadMade():
                status, content_type = fact.status, fact.content_type
            case AnswerSent():
                head_bytes, bytes_sent = fact.head_bytes, fact.body_bytes
            case ClientLeft():
                aborted = True
            case AnswerBroken():
                attempt.result, aborted = Result.FAILED, True
            case RequestEnded():
                seconds = fact.at - known.begun
            case _:
                attempt.take(fact)
    return Outcome(
        result=attempt.result,
        forward=attempt.forward,
        forward_status=attempt.forward_status,
        stored=attempt.stored,
        collapsed=attempt.collapsed,
        ttl=attempt.ttl,
        detail=attempt.detail,
        status=status,
        key=attempt.key,
        method=known.method,
        target=known.target,
        url=url,
        way=way,
        route=route,
        version=known.version,
        referer=known.referer,
        user_agent=known.user_agent,
        content_type=content_type,
        client=known.client,
        user=user,
        request_id=request_id,
        peer=peer,
        through_parent=through_parent,
        aborted=aborted,
        started=known.started,
        begun=known.begun,
        seconds=seconds,
        head_bytes=head_bytes,
        bytes_sent=bytes_sent,
        bytes_received=known.bytes_received + received,
        bytes_uploaded=known.bytes_uploaded + uploaded,
        announced=announced,
    )


_OfAttempt = (
    Forwarded
    | ForwardedAlone
    | OriginReplied
    | Collapsed
    | BeingStored
    | NotStored
    | ServedAs
    | AttemptFailed
)


class _Attempt(Struct):
    """What is known of one attempt; each begins with nothing but its key."""

    key: str
    result: Result = Result.FAILED
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl: int | None = None
    detail: str = ""

    @staticmethod
    def of(known: Outcome) -> _Attempt:
        return _Attempt(
            known.key,
            known.result,
            known.forward,
            known.forward_status,
            known.stored,
            known.collapsed,
            known.ttl,
            known.detail,
        )

    def take(self, fact: _OfAttempt) -> None:
        match fact:
            case Forwarded():
                self.forward = fact.reason
            case ForwardedAlone():
                self.result, self.forward = Result.PASSED, fact.reason
                self.stored = self.collapsed = False
            case OriginReplied():
                self.forward_status = fact.status
            case Collapsed():
                self.collapsed = True
            case BeingStored():
                self.stored = True
            case NotStored():
                self.detail = self.detail if self.stored else fact.why
            case ServedAs():
                self.result, self.ttl, self.detail = fact.result, fact.ttl, fact.detail
            case AttemptFailed(fault=Fault.CLIENT):
                self.result, self.stored, self.detail = Result.REFUSED, False, self.detail or fact.kind
            case AttemptFailed():
                self.result, self.stored, self.detail = Result.FAILED, False, fact.kind
            case _:
                assert_never(fact)
