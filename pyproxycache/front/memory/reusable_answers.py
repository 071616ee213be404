"""Which answers memory may give again, and in what form."""

from __future__ import annotations

import logging
from functools import partial

from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.memory.arriving import Arriving
from pyproxycache.front.memory.head_template import template_of
from pyproxycache.front.memory.refusal import Refusal
from pyproxycache.front.memory.stored import Stored
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.outcome import Result

log = logging.getLogger("pyproxycache")

_LONGEST_HEAD = 32 << 10

Repeated = Stored | Refusal
"""What is given again as it is."""
ReusableAnswer = Repeated | Arriving


def reusable_answer_of(
    answer: Answer,
    head: bytes,
    framing: Framing,
    reuse: AnswerReuse,
    now: float,
    *,
    closes: bool,
) -> ReusableAnswer | None:
    """The answer in the form that memory keeps, None if it may not be given again; `head` has its bytes."""
    reuse_terms, refusal_terms = answer.response.reuse_terms, answer.response.refusal_terms
    if refusal_terms is not None:
        said = answer.body.ready_piece() if framing.has_body else b""
        if not isinstance(said, bytes) or answer.outcome.user:
            return None
        return Refusal(refusal_terms, answer.outcome, head, framing, said, now, closes=closes)
    if reuse_terms is None:
        return None
    readmission = reuse_terms.readmission
    if reuse_terms.again is not None:
        if readmission is not None:
            return None
        return Arriving(reuse_terms, framing, partial(reuse.join, answer), closes=closes)
    if answer.outcome.result is not Result.HIT or reuse_terms.until <= now:
        return None
    if len(head) > _LONGEST_HEAD:
        return None  # making such a head anew each second would cost too much
    template = template_of(head if readmission is None else _without(readmission.names, head))
    rest = answer.body.ready_piece() if framing.has_body else b""
    if template is None or rest is None:
        return None
    is_inward = reuse.is_inward(reuse_terms.entry.peer)
    try:
        return Stored(
            reuse_terms, answer.outcome, template, framing, rest, closes=closes, is_inward=is_inward
        )
    except OSError as error:
        log.warning("an answer is not kept in memory: %s", error.strerror)
        return None


def _without(names: frozenset[str], head: bytes) -> bytes:
    """The head without the lines of these fields."""
    begin, *lines = head.split(b"\r\n")
    kept = (line for line in lines if line.partition(b":")[0].decode("latin-1").lower() not in names)
    return b"\r\n".join((begin, *kept))
