"""Documents read in pieces, with links of a mirror's kind and all named files noted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyproxycache.mirrors.ecosystem import DocumentReading, Ecosystem
from pyproxycache.mirrors.named_file import NamedFile


def everything(_file: NamedFile) -> bool:
    return True


@dataclass
class Shown:
    """A document as it is shown, and the files that it named."""

    text: bytes
    named: list[NamedFile] = field(default_factory=list)


def shown(
    ecosystem: Ecosystem,
    path: str,
    media_type: str,
    text: bytes,
    *,
    base: str = "https://index.test/",
    is_shown: Callable[[NamedFile], bool] = everything,
    size: int = 7,
    key: bytes = b"",
    found_at: str = "",
) -> Shown:
    """The document at the path, in pieces of so many bytes; links become "mirror:URL"."""
    document = ecosystem.document(path, media_type)
    assert document is not None, f"no document: {path} of {media_type}"
    found = Shown(b"")

    def note(file: NamedFile) -> bool:
        found.named.append(file)
        return is_shown(file)

    reading = DocumentReading(base + path, lambda url: f"mirror:{url}", note, key, found_at)
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    found.text = b"".join(document.read(pieces, reading))
    return found
