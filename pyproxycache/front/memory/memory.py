"""The answers kept in memory, found by the bytes of a request's head, or by its deciding fields."""

from __future__ import annotations

import functools
import re
import resource

from msgspec.structs import replace

from pyproxycache.announced import Announced
from pyproxycache.front.memory.arriving import Arriving
from pyproxycache.front.memory.refusal import Refusal
from pyproxycache.front.memory.reusable_answers import Repeated, ReusableAnswer
from pyproxycache.front.memory.s3fifo import S3Fifo
from pyproxycache.front.memory.stored import Stored
from pyproxycache.front.requests.ingress import PLAIN, Ingress
from pyproxycache.front.requests.simple import is_simple, simple_parts
from pyproxycache.gates.verdicts import NO_VERDICT
from pyproxycache.outcome import Outcome
from pyproxycache.report.formats import Lines
from pyproxycache.response import Readmission, Readmit, left_to_a_thread
from pyproxycache.rules.variants import OVERRIDING

_LONGEST_HEAD = 8 << 10
_MOST_FIELDS = 100
_SHARE_OF_HEADS = 0.25
_MOST_FILES = 8192
_MOST_ARRIVING = 1024
_SHARE_OF_ARRIVING = 0.125
_LONGEST_VARIES = 4 << 10
"""The most bytes of names that Vary may list if memory is to keep the answer."""
_OF_A_HEAD = 800
"""Bytes that a known head takes besides the head itself and its line for the log."""

DECIDING_FIELDS = frozenset(
    (
        # Fields of framing and of the connection.
        *(
            "host",
            "connection",
            "upgrade",
            "expect",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
        ),
        *("via", "max-forwards"),
        # Fields in which a proxy before this one tells which address its client used, and similar ones.
        *OVERRIDING,
        # Fields that the rules look at, besides those that Vary names.
        *("cache-control", "pragma", "range", "if-range", "if-match", "if-none-match"),
        *("if-modified-since", "if-unmodified-since", "authorization", "proxy-authorization"),
    )
)
"""The request fields that can decide which answer is right, beside those that Vary names (lower case)."""


def _lines_of(names: tuple[str, ...]) -> re.Pattern[bytes]:
    alternatives = b"|".join(re.escape(name.encode("latin-1")) for name in names)
    return re.compile(rb"\n((?:" + alternatives + rb"):[^\r]*)", re.IGNORECASE)


_DECIDING = _lines_of(tuple(sorted(DECIDING_FIELDS)))
_HARMLESS = re.compile(
    rb"(?:host|connection|proxy-authorization|forwarded|x-forwarded-(?:host|proto)):", re.IGNORECASE
)
_REFERER, _USER_AGENT = _lines_of(("referer",)), _lines_of(("user-agent",))
_CREDENTIALS = _lines_of(("proxy-authorization",))

Base = tuple[bytes, ...]
"""A request line, the lines of the deciding fields behind it, and the mark of its ingress."""


class Known:
    """The answer to requests with this head, and its line for the access log without the line's beginning.

    It is for requests that come in by this `ingress`, which origins may be told of. The line is
    right while the answer's `renew_at` is `line_until`. `verdict` is the last one on the credentials for
    this proxy in the head. `announced` is what events of requests with this head tell, once one was made.
    `size` is about how many bytes it takes, with a refusal, which nothing else keeps.
    """

    __slots__ = (
        *("_readmit", "announced", "answer", "head", "ingress", "line", "line_until", "size", "verdict"),
    )

    def __init__(self, head: bytes, answer: ReusableAnswer, ingress: Ingress) -> None:
        self.head = head
        self.answer = answer
        self.ingress = ingress
        self.line = ""
        self.line_until = -1.0
        self.verdict = NO_VERDICT
        self.announced: Announced | None = None
        self.size = 2 * len(head) + _OF_A_HEAD + (answer.size if isinstance(answer, Refusal) else 0)
        self._readmit: Readmit | None = None

    def readmit(self, readmission: Readmission) -> Readmit:
        """What decides whether requests with this head get its answer, by the answer's readmission."""
        if self._readmit is None:
            parsed = simple_parts(self.head)
            if parsed is None:
                self._readmit = left_to_a_thread
            else:
                self._readmit = readmission.of(parsed.target, parsed.headers)
        return self._readmit

    def credentials(self) -> tuple[str, ...]:
        """The lines of Proxy-Authorization in the head."""
        return tuple(map(_without_name, _CREDENTIALS.findall(self.head)))


class _Selected:
    """The answers to one base that has variants, by the lines of the fields that Vary names.

    Origins choose these names, so they are compared and not made into a pattern.
    """

    __slots__ = ("_names", "answers", "varies")

    def __init__(self, varies: tuple[str, ...]) -> None:
        self.varies = varies
        self._names = frozenset(name.encode("latin-1") for name in varies)
        self.answers: dict[tuple[bytes, ...], Stored] = {}

    def lines(self, head: bytes) -> tuple[bytes, ...]:
        """The lines of the fields that Vary names in a head."""
        _request, *lines = head.split(b"\r\n")
        return tuple(line for line in lines if line.partition(b":")[0].lower() in self._names)


class Memory:
    """Keeps answers, up to `limit` bytes, and finds the one for a request; belongs to the poller.

    A request is a head that came in by an ingress. `heads` has for each head
    the answer by one of them, the last.
    `lines` makes those of the access log; None if there is none. At most about `most_files` of the answers
    have a file open.
    """

    def __init__(self, limit: int, lines: Lines | None, most_files: int = _MOST_FILES) -> None:
        self.heads: dict[bytes, Known] = {}
        self._heads_bytes = 0
        self._heads_limit = int(limit * _SHARE_OF_HEADS)
        self._answers: dict[Base, Stored | _Selected] = {}
        self._kept: S3Fifo[Stored] = S3Fifo(limit - self._heads_limit, self._remove)
        self._files: set[Stored] = set()
        self._of_a_file = (limit - self._heads_limit) // min(most_files, _open_files() // 4)
        self._arriving: dict[bytes, Arriving] = {}
        self._arriving_bytes = 0
        self._arriving_limit = int(limit * _SHARE_OF_ARRIVING)
        self._lines = lines

    def learn(self, head: bytes, answer: ReusableAnswer, ingress: Ingress = PLAIN) -> None:
        """Keep the answer that a request with this head was given."""
        base = _base(head, ingress.mark)
        if not base:
            return
        if isinstance(answer, Stored):
            if sum(map(len, answer.varies)) > _LONGEST_VARIES:
                return
            if answer.file:
                # An open file counts for its share of all files, so that eviction limits their number.
                answer.size = max(answer.size, self._of_a_file)
            self._file(base, head, answer)
            if not answer.is_kept:
                return
        self._know(head, answer, ingress)

    def find(self, head: bytes, ingress: Ingress = PLAIN) -> Known | None:
        """The answer kept for a head that differs in no deciding field; None if there is none."""
        base = _base(head, ingress.mark)
        found = self._answers.get(base) if base else None
        if isinstance(found, _Selected):
            found = found.answers.get(found.lines(head))
        return None if found is None else self._know(head, found, ingress)

    def outcome(self, head: bytes, repeated: Repeated) -> Outcome:
        """The record of a request with this head that gets the answer."""
        if self._lines is None or not self._lines.by_agent:
            return repeated.outcome()
        agent, referer = _value(_USER_AGENT, head), _value(_REFERER, head)
        return replace(repeated.outcome(), user_agent=agent, referer=referer)

    def tell(self, known: Known, repeated: Repeated) -> None:
        """Make the line for the access log that is right until the answer is renewed."""
        assert self._lines is not None, "there is a log"
        if self._lines.by_agent or not repeated.line:
            repeated.line = self._lines.rest(self.outcome(known.head, repeated))
        known.line, known.line_until = repeated.line, repeated.renew_at

    def sweep(self, versions: memoryview) -> None:
        """Drop the outdated ones of the answers that hold files or downloads."""
        for stored in [one for one in self._files if versions[one.slot] != one.version]:
            self._drop(stored)
        over = [head for head, one in self._arriving.items() if versions[one.slot] != one.version]
        for head in over:
            self._unknow(head)

    def forget(self, known: Known) -> None:
        """Drop the answer, which may not be given any more."""
        self._unknow(known.head)
        if isinstance(known.answer, Stored) and known.answer.is_kept:
            self._kept.discard(known.answer)
            self._remove(known.answer)

    def _know(self, head: bytes, answer: ReusableAnswer, ingress: Ingress) -> Known:
        self._unknow(head)
        known = self.heads[head] = Known(head, answer, ingress)
        self._heads_bytes += known.size
        if isinstance(answer, Arriving):
            self._arriving[head] = answer
            self._arriving_bytes += answer.size
            while len(self._arriving) > _MOST_ARRIVING or self._arriving_bytes > self._arriving_limit:
                self._unknow(next(iter(self._arriving)))
        while self._heads_bytes > self._heads_limit:
            self._unknow(next(iter(self.heads)))
        return known

    def _unknow(self, head: bytes) -> None:
        if (known := self.heads.pop(head, None)) is not None:
            self._heads_bytes -= known.size
            arriving = self._arriving.pop(head, None)
            self._arriving_bytes -= arriving.size if arriving is not None else 0

    def _file(self, base: Base, head: bytes, stored: Stored) -> None:
        stored.base, stored.selecting = base, ()
        if stored.varies:
            selected = self._answers.get(base)
            if not isinstance(selected, _Selected) or selected.varies != stored.varies:
                self._drop(self._answers.pop(base, None))
                selected = self._answers[base] = _Selected(stored.varies)
            stored.selecting = selected.lines(head)
            self._drop(selected.answers.get(stored.selecting))
            self._answers[base] = selected
            selected.answers[stored.selecting] = stored
        else:
            self._drop(self._answers.get(base))
            self._answers[base] = stored
        if stored.file:
            self._files.add(stored)
        stored.size += sum(map(len, (*base, *stored.selecting)))
        self._kept.add((base, stored.selecting), stored)

    def _drop(self, old: Stored | _Selected | None) -> None:
        if isinstance(old, _Selected):
            for stored in list(old.answers.values()):
                self._drop(stored)
        elif old is not None and old.is_kept:
            self._kept.discard(old)
            self._remove(old)

    def _remove(self, stored: Stored) -> None:
        """Take an answer that is no longer kept out of everything it is found by."""
        stored.expire()
        self._files.discard(stored)
        found = self._answers.get(stored.base)
        if isinstance(found, _Selected):
            found.answers.pop(stored.selecting, None)
            if not found.answers:
                del self._answers[stored.base]
        elif found is stored:
            del self._answers[stored.base]
        # A Known may still refer to it, and shall not hold that memory.
        stored.base = stored.selecting = ()


def is_plain(head: bytes) -> bool:
    """Whether the head is of a GET whose deciding fields are of its host, its connection or this proxy."""
    base = _base(head)
    return bool(base) and base[0].startswith(b"GET ") and all(_HARMLESS.match(line) for line in base[1:])


def _open_files() -> int:
    """How many files this process may have open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


@functools.lru_cache(64)
def _base(head: bytes, mark: bytes = PLAIN.mark) -> Base:
    """The request line and what else decides; () if the head is not simple enough to be sure."""
    if len(head) > _LONGEST_HEAD or head.count(b"\n") > _MOST_FIELDS or not is_simple(head):
        return ()
    return (head[: head.index(b"\r")], *_DECIDING.findall(head), *filter(None, (mark,)))


def _value(pattern: re.Pattern[bytes], head: bytes) -> str:
    """The last line of the field that the pattern finds, without its name."""
    found = pattern.findall(head)
    return _without_name(found[-1]) if found else ""


def _without_name(line: bytes) -> str:
    return line.partition(b":")[2].strip(b" \t").decode("latin-1")
