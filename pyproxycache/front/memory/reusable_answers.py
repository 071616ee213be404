"""Answers that memory may give again: their bytes, and what changes in them with time."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from pyproxycache.body import Body, BytesBody, FileSlice, Piece
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.loop.answer_writer import is_in_memory
from pyproxycache.front.memory.refusal import Refusal
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.net.closing import close_file
from pyproxycache.net.descriptors import opened
from pyproxycache.outcome import Outcome, Result
from pyproxycache.response import ReuseTerms

log = logging.getLogger("pyproxycache")

_IN_MEMORY = 32 << 10
"""Bodies of more bytes stay in their file: sending it costs less than copying from memory."""
_LONGEST_HEAD = 32 << 10
_OVERHEAD = 1500
_OF_A_NAME = 200
_NEVER = -1
_AGE = re.compile(rb"(?<=\r\nAge: )\d+(?=\r\n)")
_TTL = re.compile(rb"(?<=; hit; ttl=)\d+(?=[;\r])")


class Template(NamedTuple):
    """A head in three pieces, around the number of its Age and the ttl in its Cache-Status."""

    begin: bytes
    between: bytes
    end: bytes

    def filled(self, age: int, ttl: int) -> bytes:
        return b"%b%d%b%d%b" % (self.begin, age, self.between, ttl, self.end)


_NOTHING = Template(b"", b"", b"")


def template_of(head: bytes) -> Template | None:
    """The template of a head; None if the head has not exactly one Age, or no ttl of this cache."""
    ages, ttls = list(_AGE.finditer(head)), list(_TTL.finditer(head))
    # Of several caches' ttls, the last one is this cache's.
    if len(ages) != 1 or not ttls or ttls[-1].start() < ages[0].end():
        return None
    age, ttl = ages[0], ttls[-1]
    return Template(head[: age.start()], head[age.end() : ttl.start()], head[ttl.end() :])


class AnswerFile:
    """Bytes of a blob's file, which stays open for as long as somebody refers to this."""

    def __init__(self, fd: int, offset: int, count: int) -> None:
        """The object owns the descriptor from then on."""
        self.fd = fd
        self.offset, self.count = offset, count

    def is_in_memory(self) -> bool:
        """Whether its first bytes can be sent without waiting for the disk, if that can be told."""
        return is_in_memory(self.fd, self.offset, self.offset + self.count)

    def __del__(self) -> None:
        close_file(self.fd)


class FileBody(Body):
    """The bytes of an AnswerFile as a body, in one piece."""

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
        """Release nothing: the file closes when nobody refers to it any more."""


class Stored:
    """An answer out of the store; may be given from `since` to `until` while its key has the `version`.

    Times are epoch seconds. `slot` is the place of the key's version. `data` is what is sent; if the body
    is in a `file`, only the head, which has `head_size` bytes. `length` is that of both in bytes.
    `renew_at` is when the head has to be made anew. `is_inward`: only clients on this machine may see it.
    `closes`: the connection ends with it. `is_in_memory`: the file, if any, can be sent without waiting for
    the disk. `readmission` decides who gets it. `user` is the one whose requests get it. `slide`:
    prolong() is due whenever it is given; 0: never. `hits` counts answers that are not reported yet.
    `announced` is what an event of the first request told; None if there are no events.
    `base`, `selecting`, `size`, `uses`, `is_kept` and `line` are kept here for Memory.
    """

    __slots__ = (
        *(
            "slot",
            "version",
            "since",
            "until",
            "slide",
            "is_inward",
            "closes",
            "renew_at",
            "data",
            "length",
            "hits",
            "user",
            "announced",
            "file",
            "is_in_memory",
        ),
        *("_template", "_born", "_expires", "_last", "_body"),
        *("_body_size", "_first_outcome", "_outcome", "_ttl", "head_size"),
        *("entry_id", "framing", "readmission"),
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
        self.slide, self._last = reuse_terms.slide, reuse_terms.last
        self.is_inward = is_inward
        self.readmission = reuse_terms.readmission
        self.closes = closes
        self.renew_at = 0.0
        self.data = b""
        self.hits = 0
        self.user = outcome.user
        self.announced = outcome.announced
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
        self.head_size, self._ttl = head_size, outcome.ttl
        self.length = 0
        self.base: tuple[bytes, ...] = ()
        self.selecting: tuple[bytes, ...] = ()
        self.varies = reuse_terms.varies
        self.size = _OVERHEAD + 2 * (head_size + len(self._body)) + _texts(outcome, self.varies)
        self.uses = 0
        self.is_kept = False
        self.line = ""

    def renew(self, now: float) -> None:
        """Make the head with the Age and ttl of now (epoch seconds); set whether the file is in memory."""
        if self.file is not None:
            self.is_in_memory = self.file.is_in_memory()
        age, ttl = math.floor(now - self._born), math.floor(self._expires - now)
        head = self._template.filled(max(0, age), ttl)
        self.data = head + self._body
        self.head_size, self._ttl, self._outcome = len(head), ttl, None
        self.length = len(head) + self._body_size
        self.line = ""
        self.renew_at = min(self._born + age + 1, self._expires - ttl, self.until)

    def prolong(self, now: float) -> None:
        """Have it last from now on (epoch seconds) as long as an answer does, up to its longest life."""
        self.until = self._expires = max(self.until, min(now + self.slide, self._last))

    def outcome(self) -> Outcome:
        """The record of a request that gets the answer as it is now; made when first asked for."""
        if self._outcome is None:
            self._outcome = replace(self._first_outcome, head_bytes=self.head_size, ttl=self._ttl)
        return self._outcome

    def body(self) -> Body:
        """The body, whether in memory or in a file."""
        return BytesBody(self._body) if self.file is None else FileBody(self.file)

    def expire(self) -> None:
        """Make the answer unusable, whatever its key's version, and free its memory and file."""
        self.version = _NEVER
        self.data = self._body = b""
        self.line, self.varies, self._template = "", (), _NOTHING
        self.file = None


def _without(names: frozenset[str], head: bytes) -> bytes:
    """The head without the lines of these fields."""
    begin, *lines = head.split(b"\r\n")
    kept = (line for line in lines if line.partition(b":")[0].decode("latin-1").lower() not in names)
    return b"\r\n".join((begin, *kept))


def _texts(outcome: Outcome, varies: tuple[str, ...]) -> int:
    """Bytes of the texts kept with an answer: its outcome, its line for the log, and the names in Vary."""
    told = (outcome.key, outcome.target, outcome.target, outcome.user_agent, outcome.referer)
    announced = 0 if outcome.announced is None else outcome.announced.size
    return (
        2 * sum(map(len, (*told, outcome.content_type)))
        + announced
        + sum(_OF_A_NAME + 3 * len(name) for name in varies)
    )


class Arriving:
    """An answer out of a running download, which other clients may join; times are as in Stored.

    `join` makes an answer for another client (its IP address), None if the download is over. `head` is the
    one for all who join, to be made anew at `renew_at`, when its Age changes. `size` is about how many
    bytes of memory it keeps in use.
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
        """Take the head that was made now (epoch seconds)."""
        self.head = head
        self.renew_at = self._born + math.floor(now - self._born) + 1


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
