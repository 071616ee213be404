"""HTML pages of any size, whose anchors are changed one by one as bytes arrive."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pyproxycache.mirrors.documents.document_error import DocumentError

_BEGIN = re.compile(r"<(?:a|(?P<base>base))(?=[\s>/])", re.IGNORECASE)
_BEGIN_SIZE = len("<base ")
_BASE_END = re.compile(">")
_END = re.compile(r"</a\s*>", re.IGNORECASE)
_TAG = re.compile(r"<(?:a|base)(?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([^\s=>\"'/]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Anchor:
    """An anchor from its begin tag to its end tag, as it stands in the page (`text`).

    `base` is what the page says that its references count from; "" if it says nothing of that.
    """

    text: str
    base: str = ""

    @cached_property
    def _tag(self) -> str:
        tag = _TAG.match(self.text)
        return tag[0] if tag else ""

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Its attributes by their names in lower case, with character references resolved."""
        found: dict[str, str] = {}
        for name, *values in _ATTRIBUTE.findall(self._tag[2:-1]):
            found.setdefault(name.lower(), html.unescape(next(filter(None, values), "")))
        return found

    def with_attribute(self, name: str, value: str) -> str:
        """Its text, in which the attribute has another value."""
        for found in _ATTRIBUTE.finditer(self._tag, 2):
            if found[1].lower() == name and found.lastindex != 1:
                quoted = f'"{html.escape(value, quote=True)}"'
                begin, end = found.span(found.lastindex or 1)
                is_quoted = found.end() > end
                return f"{self.text[: begin - is_quoted]}{quoted}{self.text[end + is_quoted :]}"
        return self.text


def with_anchors(
    pieces: Iterable[bytes], change: Callable[[Anchor], str | None], *, keeps_base: bool = True
) -> Iterator[bytes]:
    """The page, in which `change` gives the new text of each anchor; None leaves it out.

    All other bytes stay as they are, but that what references count from is left out if not `keeps_base`.
    An anchor is at most 1 MB long, else DocumentError is raised.
    """
    base = ""
    # Latin-1 has one character for each byte; markup is ASCII in all encodings that such pages have.
    rest = ""
    for piece in pieces:
        rest += piece.decode("latin-1")
        done = 0
        while begin := _BEGIN.search(rest, done):
            end = (_BASE_END if begin["base"] else _END).search(rest, begin.end())
            if end is None:
                break
            text = _decoded(rest[begin.start() : end.end()])
            if begin["base"]:
                base = base or _base(text)
                changed = text if keeps_base else ""
            else:
                changed = change(Anchor(text, base)) or ""
            yield rest[done : begin.start()].encode("latin-1") + changed.encode("utf-8", "surrogateescape")
            done = end.end()
        kept = (
            begin.start() if begin else max(done, len(rest) - _BEGIN_SIZE)
        )  # a tag may begin in the last bytes
        yield rest[done:kept].encode("latin-1")
        rest = rest[kept:]
        if len(rest) > _LONGEST:
            raise DocumentError("an anchor is longer than 1 MB")
    yield rest.encode("latin-1")


def _decoded(text: str) -> str:
    """The text of characters that are bytes, as the UTF-8 that it is."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def _base(tag: str) -> str:
    """What the tag says that references count from, "" if nothing."""
    return Anchor(tag).attributes.get("href", "").strip()
