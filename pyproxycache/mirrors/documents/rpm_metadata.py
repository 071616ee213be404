"""Metadata of RPM repositories in XML: each package or file of metadata, with its digest and place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from pyproxycache.mirrors.documents.document_error import DocumentError

_DEEPEST = 20
_LONGEST_TOKEN = 1 << 20
_LONGEST_TEXT = 1024
_ITEMS = frozenset({"package", "data"})
_TEXTS = frozenset({"name", "checksum"})


@dataclass(frozen=True, slots=True)
class RpmItem:
    """A package or a file of metadata: where it is, below `base` if that is told, and its digest in hex."""

    href: str
    base: str
    algorithm: str
    digest: str
    name: str
    version: str


class RpmMetadata:
    """Gives each item of a repomd.xml or primary.xml that has a place to `take`.

    Raises DocumentError for what is no such XML, declares a document type, is nested more than 20 deep, or
    has a tag of more than 1 MB.
    """

    def __init__(self, take: Callable[[RpmItem], None]) -> None:
        self._take = take
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = _refuse
        self._depth = 0
        self._fed = 0
        self._found: dict[str, str] | None = None  # what is known of the item that is open
        self._text: str | None = None  # the text of which element is being read

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._parse(data, is_last=False)
        self._fed += len(data)
        if self._fed - self._parser.CurrentByteIndex > _LONGEST_TOKEN + len(data):
            raise DocumentError("a tag is longer than 1 MB")

    def finish(self) -> None:
        """Take note that the document has ended."""
        self._parse(b"", is_last=True)

    def _parse(self, data: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(data, is_last)
        except expat.ExpatError as error:
            raise DocumentError(f"its XML is invalid: {error}") from None

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise DocumentError("it is nested too deeply")
        if self._depth == 2 and tag in _ITEMS:
            self._found = {}
        elif self._depth == 3 and self._found is not None:
            self._note(tag, attributes, self._found)

    def _note(self, tag: str, attributes: dict[str, str], found: dict[str, str]) -> None:
        if tag == "location":
            found.setdefault("href", attributes.get("href", ""))
            found.setdefault("base", attributes.get("xml:base", ""))
        elif tag == "version":
            epoch, version = attributes.get("epoch", "0"), attributes.get("ver", "")
            release = attributes.get("rel", "")
            found["version"] = (f"{epoch}:" if epoch != "0" else "") + f"{version}-{release}"
        elif tag in _TEXTS and tag not in found:
            found[tag] = ""
            if tag == "checksum":
                found["type"] = attributes.get("type", "")
            self._text = tag
            self._parser.CharacterDataHandler = self._characters

    def _characters(self, text: str) -> None:
        if self._found is not None and self._text is not None:
            self._found[self._text] = (self._found[self._text] + text)[:_LONGEST_TEXT]

    def _end(self, _tag: str) -> None:
        self._depth -= 1
        if self._depth == 2 and self._text is not None:
            self._text = None
            self._parser.CharacterDataHandler = None
        elif self._depth == 1 and self._found is not None:
            found, self._found = self._found, None
            if found.get("href"):
                self._take(_item(found))


def _item(found: dict[str, str]) -> RpmItem:
    digest = found.get("checksum", "").strip()
    name, version = found.get("name", "").strip(), found.get("version", "")
    return RpmItem(found["href"], found.get("base", ""), found.get("type", ""), digest, name, version)


def _refuse(*_told: object) -> None:
    raise DocumentError("it declares a document type")
