"""An answer out of the store, which memory gives again: its bytes, and what changes in them with time."""

from __future__ import annotations

import math
import os

from msgspec.structs import replace

from pyproxycache.body import Body, BytesBody, FileSlice, Piece
from pyproxycache.front.memory.answer_file import AnswerFile, FileBody
from pyproxycache.front.memory.head_template import NOTHING, Template
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.net.descriptors import opened
from pyproxycache.outcome import Outcome
from pyproxycache.response import ReuseTerms

_IN_MEMORY = 32 << 10
"""Bodies of more bytes stay in their file: sending it costs less than copying from memory."""
_OVERHEAD = 1500
_OF_A_NAME = 200
_NEVER = -1


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
        self.line, self.varies, self._template = "", (), NOTHING
        self.file = None


def _texts(outcome: Outcome, varies: tuple[str, ...]) -> int:
    """Bytes of the texts kept with an answer: its outcome, its line for the log, and the names in Vary."""
    told = (outcome.key, outcome.target, outcome.target, outcome.user_agent, outcome.referer)
    announced = 0 if outcome.announced is None else outcome.announced.size
    return (
        2 * sum(map(len, (*told, outcome.content_type)))
        + announced
        + sum(_OF_A_NAME + 3 * len(name) for name in varies)
    )
