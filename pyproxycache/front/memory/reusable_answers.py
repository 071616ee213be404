"""Answers that memory may give again: the bytes that were sent, and what changes in them with time."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from pyproxycache.body import Body, BytesBody, FileSlice, Piece
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.loop.answer_writer import is_in_memory
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.messages import ReuseTerms
from pyproxycache.net.descriptors import opened
from pyproxycache.outcome import Outcome, Result

log = logging.getLogger("pyproxycache")

_IN_MEMORY = 32 << 10
"""Bytes from which the system sends a file with less effort than a copy."""
_LONGEST_HEAD = 32 << 10
_OVERHEAD = 1500
_OF_A_NAME = 200
_NEVER = -1
_AGE = re.compile(rb"(?<=\r\nAge: )\d+(?=\r\n)")
_TTL = re.compile(rb"(?<=; hit; ttl=)\d+(?=[;\r])")


class Template(NamedTuple):
    """A head in pieces around its Age and the time to live in its Cache-Status."""

    begin: bytes
    between: bytes
    end: bytes

    def filled(self, age: int, ttl: int) -> bytes:
        return b"%b%d%b%d%b" % (self.begin, age, self.between, ttl, self.end)


_NOTHING = Template(b"", b"", b"")


def template_of(head: bytes) -> Template | None:
    """None where the head does not have each of them."""
    ages, ttls = list(_AGE.finditer(head)), list(_TTL.finditer(head))
    # Of several caches this one has said its word last.
    if len(ages) != 1 or not ttls or ttls[-1].start() < ages[0].end():
        return None
    age, ttl = ages[0], ttls[-1]
    return Template(head[: age.start()], head[age.end() : ttl.start()], head[ttl.end() :])


class AnswerFile:
    """Bytes of a blob, which is held open for as long as somebody sends them."""

    def __init__(self, fd: int, offset: int, count: int) -> None:
        """`fd` is this one's own from here on."""
        self.fd = fd
        self.offset, self.count = offset, count

    def is_in_memory(self) -> bool:
        """Whether its first turn can be sent without waiting for the disk, as far as the system tells."""
        return is_in_memory(self.fd, self.offset, self.offset + self.count)

    def __del__(self) -> None:
        os.close(self.fd)


class FileBody(Body):
    """The file's bytes as a body, which keeps it open."""

    def __init__(self, file: AnswerFile) -> None:
        self._file = file
        self._is_given = False

    def __next__(self) -> Piece:
        if self._is_given:
            raise StopIteration
        self._is_given = True
        return self.ready_piece()

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        return next(self)

    def ready_piece(self) -> FileSlice:
        return FileSlice(self._file.fd, self._file.offset, self._file.count)

    def close(self) -> None:
        """The file is open for as long as anybody sends it."""


class Stored:
    """An answer out of the store; right while its key has that version, from `since` until `until`.

    These are epoch seconds. `data` is the answer as it is sent, of `length` bytes in all; of one whose
    body is in a file, its head. It has to be renewed at `renew_at`. `is_inward`: only clients on this
    machine may see it. `closes`: the connection ends with it. `is_in_memory`: the file, if there is one,
    can be sent without waiting for the disk. `hits` counts those that nobody was told of yet. The rest is
    the memory's own.
    """

    __slots__ = (
        *(
            "slot",
            "version",
            "since",
            "until",
            "is_inward",
            "closes",
            "renew_at",
            "data",
            "length",
            "hits",
            "file",
            "is_in_memory",
        ),
        *("_template", "_born", "_expires", "_body"),
        *("_body_size", "_first_outcome", "_head_size", "_outcome", "_ttl"),
        *("entry_id", "framing"),
        *("base", "selecting", "varies", "size", "uses", "is_kept", "line"),
    )

    def __init__(
        self,
        reuse_terms: ReuseTerms,
        outcome: Outcome,
        template: Template,
        framing: Framing,
        rest: Piece,
        *,
        closes: bool,
        is_inward: bool,
    ) -> None:
        self.slot, self.version = reuse_terms.slot, reuse_terms.version
        self.since, self.until = reuse_terms.since, reuse_terms.until
        self.is_inward = is_inward
        self.closes = closes
        self.renew_at = 0.0
        self.data = b""
        self.hits = 0
        self._template = template
        self._born, self._expires = reuse_terms.born, reuse_terms.expires
        count = rest.count if isinstance(rest, FileSlice) else len(rest)
        self.file: AnswerFile | None = None
        if isinstance(rest, bytes):
            self._body = rest
        elif count <= _IN_MEMORY:
            self._body = rest.read()
        else:
            self._body = b""
            self.file = AnswerFile(opened(lambda: os.dup(rest.fd)), rest.offset, count)
        self.is_in_memory = self.file is None
        self.entry_id = reuse_terms.entry.id
        self.framing = framing
        head_size = len(template.filled(0, 0))
        self._outcome: Outcome | None = None
        self._first_outcome = replace(outcome, head_bytes=head_size, bytes_sent=count)
        self._body_size = count
        self._head_size, self._ttl = head_size, outcome.ttl
        self.length = 0
        self.base: tuple[bytes, ...] = ()
        self.selecting: tuple[bytes, ...] = ()
        self.varies = reuse_terms.varies
        self.size = _OVERHEAD + 2 * (head_size + len(self._body)) + _texts(outcome, self.varies)
        self.uses = 0
        self.is_kept = False
        self.line = ""

    def renew(self, now: float) -> None:
        """Tell the Age and the time to live of this moment, and whether the file can be sent at once."""
        if self.file is not None:
            self.is_in_memory = self.file.is_in_memory()
        age, ttl = math.floor(now - self._born), math.floor(self._expires - now)
        head = self._template.filled(max(0, age), ttl)
        self.data = head + self._body
        self._head_size, self._ttl, self._outcome = len(head), ttl, None
        self.length = len(head) + self._body_size
        self.line = ""
        self.renew_at = min(self._born + age + 1, self._expires - ttl, self.until)

    def outcome(self) -> Outcome:
        """The record of a request that is given the answer as it is at the moment, made when asked for."""
        if self._outcome is None:
            self._outcome = replace(self._first_outcome, head_bytes=self._head_size, ttl=self._ttl)
        return self._outcome

    def body(self) -> Body:
        """What is sent behind the head."""
        return BytesBody(self._body) if self.file is None else FileBody(self.file)

    def expire(self) -> None:
        """It is right no more, whatever the key's version, and takes no room."""
        self.version = _NEVER
        self.data = self._body = b""
        self.line, self.varies, self._template = "", (), _NOTHING
        self.file = None


def _texts(outcome: Outcome, varies: tuple[str, ...]) -> int:
    """Bytes of what an answer is told with, as it is and as a line, and of the names that select it."""
    told = (outcome.key, outcome.target, outcome.target, outcome.user_agent, outcome.referer)
    return 2 * sum(map(len, (*told, outcome.content_type))) + sum(
        _OF_A_NAME + 3 * len(name) for name in varies
    )


class Arriving:
    """The answer of a download that runs, which others may join; right as a Stored one is.

    `join` gives a client (its address) an answer of its own, None where the download is over. `head` is
    that of all who join, to be made anew at `renew_at`, when its Age changes. `size`: what it keeps, about.
    """

    __slots__ = (
        *("_born", "closes", "framing", "head", "join", "renew_at"),
        *("size", "slot", "since", "until", "version"),
    )

    def __init__(
        self,
        reuse_terms: ReuseTerms,
        framing: Framing,
        join: Callable[[str], Answer | None],
        *,
        closes: bool,
    ) -> None:
        self.slot, self.version = reuse_terms.slot, reuse_terms.version
        self.since, self.until = reuse_terms.since, reuse_terms.until
        self._born = reuse_terms.born
        self.closes = closes
        self.framing = framing
        self.join = join
        self.size = _OVERHEAD + 4 * reuse_terms.entry.head.size
        self.head = b""
        self.renew_at = 0.0

    def renew(self, head: bytes, now: float) -> None:
        """Keep the head of this moment."""
        self.head = head
        self.renew_at = self._born + math.floor(now - self._born) + 1


ReusableAnswer = Stored | Arriving


def reusable_answer_of(
    answer: Answer,
    outcome: Outcome,
    head: bytes,
    framing: Framing,
    reuse: AnswerReuse,
    now: float,
    *,
    closes: bool,
) -> ReusableAnswer | None:
    """What lets the answer be given again, None if nothing does; `head` are the bytes it is sent with."""
    reuse_terms = answer.response.reuse_terms
    if reuse_terms is None:
        return None
    if reuse_terms.again is not None:
        return Arriving(reuse_terms, framing, partial(reuse.join, answer, outcome), closes=closes)
    if outcome.result is not Result.HIT or reuse_terms.until <= now:
        return None
    if len(head) > _LONGEST_HEAD:
        return None  # which would have to be made anew each second
    template = template_of(head)
    rest = answer.body.ready_piece() if framing.has_body else b""
    if template is None or rest is None:
        return None
    is_inward = reuse.is_inward(reuse_terms.entry.peer)
    try:
        return Stored(reuse_terms, outcome, template, framing, rest, closes=closes, is_inward=is_inward)
    except OSError as error:
        log.warning("an answer is not kept in memory: %s", error.strerror)
        return None
