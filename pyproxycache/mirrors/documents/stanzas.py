"""Stanzas of Debian's control files (deb822), one by one as bytes arrive, and what is said in one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyproxycache.mirrors.documents.document_error import DocumentError

_LONGEST = 8 << 20
_BATCH = 64 << 10

_SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = b"\n-----BEGIN PGP SIGNATURE-----"
_LISTED = re.compile(r"^[ \t]+([0-9A-Fa-f]{32,128})[ \t]+[0-9]+[ \t]+(\S+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A line of a list of files: in which field it stands, the digest in hex, and the file's name."""

    field: str
    digest: str
    name: str


class Stanzas:
    """Gives each stanza of a document to `take`, without the empty lines around it.

    Raises DocumentError for one of more than 8 MB; no more than that and a piece is kept in memory.
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""
        self._new: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._new.append(data)
        self._size += len(data)
        if self._size >= _BATCH:  # small pieces are taken together, as each time what is kept is copied
            self._give_whole()

    def finish(self) -> None:
        """Take note that the document has ended."""
        self._give_whole()
        self._give(self._rest)

    def _give_whole(self) -> None:
        buffer = b"".join((self._rest, *self._new)).replace(b"\r\n", b"\n")
        self._new, self._size = [], 0
        end = buffer.rfind(b"\n\n")
        if end >= 0:
            self._give(buffer[:end])
        self._rest = buffer[end + 2 :] if end >= 0 else buffer
        if len(self._rest) > _LONGEST:
            raise DocumentError(f"a stanza is longer than {_LONGEST >> 20} MB")

    def _give(self, stanzas: bytes) -> None:
        for one in stanzas.split(b"\n\n"):
            if one and not one.isspace():
                self._take(one)


def field_pattern(*names: str) -> re.Pattern[bytes]:
    """A pattern whose findall() gives pairs of name and value of these fields, if they have one line."""
    return re.compile(rb"^(" + "|".join(names).encode() + rb"):[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE)


def fields_of(stanza: bytes, pattern: re.Pattern[bytes]) -> dict[str, str]:
    """The fields of a stanza that the pattern finds, by their names in lower case; the first one counts."""
    found: dict[str, str] = {}
    for name, value in pattern.findall(stanza):
        found.setdefault(name.decode().lower(), value.decode("utf-8", "surrogateescape").strip())
    return found


def listed_files(stanza: bytes, *names: str) -> Iterator[ListedFile]:
    """The files in the fields of these names, which have a digest, a size and a name in each line."""
    text = stanza.decode("utf-8", "surrogateescape")
    of_fields = re.compile(rf"^({'|'.join(names)}):[ \t]*((?:\n[ \t].*+)*+)", re.MULTILINE | re.IGNORECASE)
    for field in of_fields.finditer(text):
        for digest, name in _LISTED.findall(field[2]):
            yield ListedFile(field[1].lower(), digest, name)


class ClearSigned:
    """Keeps a document of one stanza, and gives what is signed of it to `take` at its end.

    One that is not signed in the clear (RFC 9580 section 7) is given as a whole. Raises DocumentError for
    more than 8 MB, and where the signature is missing; the client checks it.
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        if self._size > _LONGEST:
            raise DocumentError(f"it is longer than {_LONGEST >> 20} MB")
        self._pieces.append(data)
        if len(self._pieces) > 4096:
            self._pieces = [b"".join(self._pieces)]

    def finish(self) -> None:
        """Take note that the document has ended."""
        text = b"".join(self._pieces).replace(b"\r\n", b"\n")
        begin = text.find(_SIGNED)
        if begin == 0 or (begin > 0 and text[begin - 1 : begin] == b"\n"):
            head, _, signed = text[begin:].partition(b"\n\n")
            content, mark, _ = signed.partition(_SIGNATURE)
            if not mark or head.count(b"\n") > 16:
                raise DocumentError("its signature is missing")
            # Lines that begin with a dash are escaped by another one.
            text = re.sub(rb"^- ", b"", content, flags=re.MULTILINE)
        self._take(text)
