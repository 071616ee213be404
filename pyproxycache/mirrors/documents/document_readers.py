"""Readers that take a document's bytes as they pass, for documents that are given on unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol


class DocumentReader(Protocol):
    """Takes a document in pieces of any size; both methods raise DocumentError."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Take note that the document has ended."""


def passed_on(pieces: Iterable[bytes], reader: DocumentReader) -> Iterator[bytes]:
    """The pieces as they are; the reader has seen all of them before the last one is given on."""
    held = b""
    for piece in pieces:
        reader.feed(piece)
        yield held
        held = piece
    reader.finish()
    yield held
