"""Parses the heads of origins' answers, as strictly as RFC 9112 demands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pyproxycache.errors import UpstreamMalformed
from pyproxycache.messages import Head, Headers
from pyproxycache.net.reader import Reader

_LIMIT = 256 << 10
_MOST_FIELDS = 1000
_MOST_INTERIM = 100
_BLANKS = " \t"
_LONGEST_REMEMBERED = 1024
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?:[ \t]+(.*))?")
# A blank before the colon has to be removed (RFC 9112 section 5.1).
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:([^\x00\r\n]*)")
# Invalid but harmless characters, which are replaced; _FIELD excludes others (RFC 9110 section 5.5).
_CONTROLS = re.compile(r"[\x01-\x08\x0b-\x1f\x7f]")
_OF_FRAMING = frozenset({"content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class ParsedHead:
    """The head of an answer, and the minor version of its HTTP/1."""

    head: Head
    minor: int

    def signed(self, name: str) -> ParsedHead:
        """The head with the Via of the proxy of this name, which received it (RFC 9110 section 7.6.3)."""
        head = self.head
        headers = head.headers.with_line("Via", f"1.{self.minor} {name}")
        return ParsedHead(Head(head.status, head.reason, headers), self.minor)


class Heads:
    """Reads the heads of one answer: interim ones (RFC 9110 section 15.2) and the final one.

    Each has to be complete `seconds` after its first byte; one size limit holds for all. `interim` is
    called with interim heads other than 100. `may_switch`: another protocol was asked for, and a 101 is a
    final head. `name` is that of this proxy, for Via; "" adds none.
    """

    def __init__(
        self,
        reader: Reader,
        seconds: float,
        interim: Callable[[Head], None] | None = None,
        *,
        may_switch: bool = False,
        name: str = "",
    ) -> None:
        self._reader = reader
        self._seconds = seconds
        self._interim = interim
        self._may_switch = may_switch
        self._name = name
        self._left = _LIMIT
        self._interim_left = _MOST_INTERIM

    def final(self) -> ParsedHead:
        """The final head, which a body or another protocol may follow; raises what next() does."""
        while (received := self.next()) is None:
            pass
        return received

    def next(self) -> ParsedHead | None:
        """The next head if it is the final one, None for an interim one.

        Raises UpstreamMalformed, EOFError, TimeoutError or OSError.
        """
        received = self._received()
        if self._name:
            received = received.signed(self._name)
        status = received.head.status
        if status == 101 and not self._may_switch:
            raise UpstreamMalformed("it switches protocols, and nobody asked for that")
        if status == 101 and "upgrade" not in received.head.headers:
            raise UpstreamMalformed("it switches protocols, and does not say to which")
        if status == 101 or status >= 200:
            return received
        self._interim_left -= 1
        if self._interim_left < 0:
            text = "it sends interim heads without end"
            raise UpstreamMalformed(text, "http_response_header_section_size")
        if status != 100 and self._interim is not None:
            self._interim(received.head)
        return None

    def _received(self) -> ParsedHead:
        section = self._reader.section(self._left)
        if section is None:
            # It is still arriving, or has line ends other than CRLF.
            with self._reader.within(self._seconds):
                status_line = self._line()
                _check_status_line(status_line)
                return _parsed([status_line, *iter(self._line, "")])
        self._left -= len(section) + 4
        return _short_head(section) if len(section) <= _LONGEST_REMEMBERED else _head(section)

    def _line(self) -> str:
        line = self._reader.line(self._left)
        self._left -= len(line)
        return line.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")


def _head(section: bytes) -> ParsedHead:
    return _parsed(section.decode("latin-1").split("\r\n"))


def _parsed(lines: list[str]) -> ParsedHead:
    match = _check_status_line(lines[0])
    if len(lines) > _MOST_FIELDS:
        raise UpstreamMalformed("its head has too many fields", "http_response_header_section_size")
    reason = (match[3] or "").strip(_BLANKS)
    headers = Headers([_field(line) for line in _unfolded(lines[1:])])
    return ParsedHead(Head(int(match[2]), reason, headers), int(match[1]))


def _check_status_line(line: str) -> re.Match[str]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise UpstreamMalformed(f"{line[:40]!a} is no status line")
    return match


def _unfolded(lines: list[str]) -> list[str]:
    """The lines, with folded ones joined to those they continue (RFC 9112 section 5.2)."""
    if not any(line[0] in _BLANKS for line in lines):
        return lines
    whole: list[str] = []
    for line in lines:
        if line[0] not in _BLANKS:
            whole.append(line)
        elif whole:
            whole[-1] = f"{whole[-1].rstrip(_BLANKS)} {line.strip(_BLANKS)}"
        else:
            raise UpstreamMalformed("its header section begins with a blank")
    return whole


def _field(line: str) -> tuple[str, str]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise UpstreamMalformed(f"{line[:40]!a} is no header field")
    name, value = match[1], _CONTROLS.sub(" ", match[2])
    if value != match[2] and name.lower() in _OF_FRAMING:
        raise UpstreamMalformed(f"{line[:40]!a} has control characters")
    return name, value.strip(_BLANKS)


# Many answers of an origin within one second have equal heads.
_short_head = lru_cache(maxsize=256)(_head)
