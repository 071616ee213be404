"""JSON documents of any size, of which some arrays and objects are changed item by item as bytes arrive."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from pyproxycache.mirrors.documents.document_error import DocumentError

Path = tuple[str, ...]
"""The keys that lead to a value from the document's outermost object; "*" is each item of an array."""

# The rest of a string behind its quote; without its end where more has to come.
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+("?)', re.DOTALL)
_TOKEN = re.compile(rb'["\[\]{},:]')
# All up to the next bracket, or to a string that has no end yet, where neither keys nor commas count.
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_SPACE = rb"[ \t\r\n]*+"
_WHOLE_STRING = rb'"(?:[^"\\]++|\\.)*+"'


def _whole(depth: int) -> bytes:
    """A pattern of what may be in an array or object that has ended, so many levels of them at most."""
    plain = rb'[^"\[\]{}]++|' + _WHOLE_STRING
    inside = _whole(depth - 1) if depth else b""
    return plain + rb"|\[(?:%b)*+\]|\{(?:%b)*+\}" % (inside, inside) if depth else plain


# Most items of most documents are there as a whole, and are found by one pattern, up to their comma.
_VALUE = rb"%b(?:\{(?:%b)*+\}|\[(?:%b)*+\])%b," % (_SPACE, _whole(3), _whole(3), _SPACE)
_ELEMENT = re.compile(rb"(?P<lead>)" + _VALUE, re.DOTALL)
_MEMBER = re.compile(rb"(?P<lead>%b(?P<key>%b)%b:)%b" % (_SPACE, _WHOLE_STRING, _SPACE, _VALUE), re.DOTALL)
_LONGEST_ITEM = 8 << 20
_DEEPEST = 200
_SMALL = 8 << 10


@dataclass(frozen=True, slots=True)
class JsonItem:
    """An item of the array or object at `path`: its key (None in an array) and the text of its value.

    `lead` is what stands before the value: white space, and in an object the key and colon.
    """

    path: Path
    key: str | None
    lead: bytes
    text: bytes

    def value(self) -> Any:
        """The value as it is in Python; raises DocumentError."""
        try:
            return msgspec.json.decode(self.text)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise DocumentError(f"an item is no JSON: {error}") from None


def with_items(
    pieces: Iterable[bytes], paths: Collection[Path], change: Callable[[JsonItem], bytes | None]
) -> Iterator[bytes]:
    """The document, in which `change` gives the new text of each item at the paths; None leaves it out.

    All other bytes stay as they are. Items are at most 8 MB, and nothing else is kept in memory. Raises
    DocumentError if the pieces are no JSON document, as far as that is noticed, or end too early.
    """
    scanner = _Scanner(paths, change)
    for piece in pieces:
        yield from scanner.feed(piece)
    scanner.finish()


class ItemChanger:
    """Takes a document in pieces, and gives the bytes that with_items() does to `give`, in small pieces."""

    def __init__(
        self,
        paths: Collection[Path],
        change: Callable[[JsonItem], bytes | None],
        give: Callable[[bytes], None],
    ) -> None:
        self._scanner = _Scanner(paths, change)
        self._give = give

    def feed(self, data: bytes) -> None:
        """Take the next bytes; raises DocumentError."""
        # An item's end moves all that is behind it, which is little in small pieces.
        for start in range(0, len(data), _SMALL):
            for piece in self._scanner.feed(data[start : start + _SMALL]):
                self._give(piece)

    def finish(self) -> None:
        """Take note that the document has ended; raises DocumentError if that is too early."""
        self._scanner.finish()


class ItemReader(ItemChanger):
    """Takes a document as with_items() does, and gives each item at the paths to `note`."""

    def __init__(self, paths: Collection[Path], note: Callable[[JsonItem], None]) -> None:
        def unchanged(item: JsonItem) -> bytes:
            note(item)
            return item.text

        super().__init__(paths, unchanged, lambda _piece: None)


class _Level:
    """An open array or object; `path` is None where no path can lead to what is in it."""

    __slots__ = ("has_comma", "is_first", "is_object", "key", "path")

    def __init__(self, path: Path | None, is_object: bool) -> None:
        self.path = path
        self.is_object = is_object
        self.is_first = True  # no item has been given on
        self.has_comma = False  # another item has to follow
        self.key: bytes | None = None  # with its quotes, once its colon has come


class _Scanner:
    """Finds the items in bytes that come in any pieces.

    `_buffer` has what is not given on yet; `_at` is how far it is scanned, `_string` where a string begins
    that has not ended, `_lead` the length of the current item's lead (None: no item is being read).
    """

    def __init__(self, paths: Collection[Path], change: Callable[[JsonItem], bytes | None]) -> None:
        self._paths = frozenset(paths)
        self._above = {path[:length] for path in paths for length in range(len(path) + 1)}
        self._change = change
        self._buffer = b""
        self._at = 0
        self._string: int | None = None
        self._last: bytes | None = None  # the last string of an object, which is a key if a colon follows
        self._lead = 0
        self._frames: list[_Level] = []
        self._items: _Level | None = None  # the frame whose items are changed, and how many are open then
        self._items_depth = 0
        self._is_over = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes; gives those that can be given on."""
        self._buffer += piece
        while True:
            if self._at == 0 and self._is_at_items:
                yield from self._whole_items()
            if self._string is not None and not self._end_string():
                break
            if self._frames and self._frames[-1].path is None:
                inside = _INSIDE.match(self._buffer, self._at)
                assert inside is not None
                self._at = inside.end()
            token = _TOKEN.search(self._buffer, self._at)
            if token is None:
                self._at = len(self._buffer)
                break
            self._at = token.end()
            if token[0] == b'"':
                self._string = token.start()
            else:
                yield from self._structure(token[0])
        if self._items is None:
            yield self._given(self._at if self._string is None else self._string)
        elif len(self._buffer) > _LONGEST_ITEM:
            raise DocumentError(f"an item is longer than {_LONGEST_ITEM >> 20} MB")

    def finish(self) -> None:
        """Raise DocumentError if the document has not ended."""
        if not self._is_over or self._frames or self._string is not None:
            raise DocumentError("it ends too early, or is no JSON object")

    def _whole_items(self) -> Iterator[bytes]:
        """Take the items that the buffer begins with, as far as they are there; gives them, changed.

        One is given before the next one is changed, as in all of this.
        """
        frame = self._frames[-1]
        pattern, buffer, at = _MEMBER if frame.is_object else _ELEMENT, self._buffer, 0
        while (found := pattern.match(buffer, at)) is not None:
            key = found["key"] if frame.is_object else None
            text = found.end("lead")
            yield from self._changed(frame, key, buffer[at:text], buffer[text : found.end() - 1])
            at = found.end()
            frame.has_comma = True
        self._buffer = buffer[at:]

    def _after_comma(self) -> None:
        self._given(1)
        self._frames[-1].has_comma = True
        self._frames[-1].key = None

    def _end_string(self) -> bool:
        """Go on to the end of the string; whether that is there."""
        assert self._string is not None
        rest = _STRING.match(self._buffer, self._at)
        assert rest is not None
        self._at = rest.end()
        if not rest[1]:
            if self._items is None and not self._awaits_key:
                self._string = self._at  # what is before may be given on
            elif self._at - self._string > _LONGEST_ITEM:
                raise DocumentError(f"a string is longer than {_LONGEST_ITEM >> 20} MB")
            return False
        self._last = self._buffer[self._string : self._at]
        self._string = None
        return True

    def _given(self, end: int) -> bytes:
        """Give on the buffer up to there."""
        given, self._buffer = self._buffer[:end], self._buffer[end:]
        self._at -= end
        if self._string is not None:
            self._string -= end
        return given

    def _structure(self, token: bytes) -> Iterator[bytes]:
        if token in (b"{", b"["):
            yield from self._open(token == b"{")
        elif token in (b"}", b"]"):
            yield from self._close(token == b"}")
        elif not self._frames:
            raise DocumentError("it is no JSON object")
        elif token == b":":
            self._frames[-1].key = self._last
            if self._is_at_items:
                self._lead = self._at
        else:
            if self._is_at_items:
                yield from self._item(self._at - 1)
                self._after_comma()
            self._frames[-1].key = None

    @property
    def _awaits_key(self) -> bool:
        if not self._frames or self._frames[-1].path is None:
            return False
        return self._frames[-1].is_object and self._frames[-1].key is None

    @property
    def _is_at_items(self) -> bool:
        return self._items is not None and len(self._frames) == self._items_depth

    def _open(self, is_object: bool) -> Iterator[bytes]:
        if self._is_over or len(self._frames) >= _DEEPEST:
            raise DocumentError("more follows its end" if self._is_over else "it is nested too deeply")
        path = self._path_of_next()
        has_items = self._items is None and path in self._paths
        frame = _Level(path, is_object)
        self._frames.append(frame)
        if has_items:
            yield self._given(self._at)
            self._items, self._items_depth, self._lead = frame, len(self._frames), 0

    def _path_of_next(self) -> Path | None:
        if not self._frames:
            return ()
        around = self._frames[-1]
        if around.path is None:
            return None
        path = (*around.path, _text(around.key) if around.is_object else "*")
        return path if path in self._above else None

    def _close(self, is_object: bool) -> Iterator[bytes]:
        if not self._frames or self._frames[-1].is_object != is_object:
            raise DocumentError("its brackets do not match")
        if self._is_at_items:
            assert self._items is not None
            if self._buffer[: self._at - 1].strip() or self._items.has_comma:
                yield from self._item(self._at - 1)
            self._items = None
            yield self._given(self._at)
        self._frames.pop()
        self._is_over = not self._frames

    def _item(self, end: int) -> list[bytes]:
        """Take the item that ends there; gives it, changed."""
        frame = self._items
        assert frame is not None
        lead, text = self._buffer[: self._lead], self._buffer[self._lead : end]
        if not text.strip():
            raise DocumentError("an item has no value")
        self._given(end)
        self._lead = 0
        return self._changed(frame, frame.key if frame.is_object else None, lead, text)

    def _changed(self, frame: _Level, key: bytes | None, lead: bytes, text: bytes) -> list[bytes]:
        """The item as it is given on; nothing if it is left out."""
        assert frame.path is not None
        name = _text(key) if frame.is_object else None
        try:
            new = self._change(JsonItem(frame.path, name, lead, text))
        except DocumentError:
            raise
        except ValueError as error:  # its brackets match, and it is no JSON all the same
            raise DocumentError(f"an item is no JSON: {error}") from None
        if new is None:
            return []
        comma = b"" if frame.is_first else b","
        frame.is_first = False
        return [comma + lead + new]


def _text(key: bytes | None) -> str:
    """The key, out of its quotes."""
    try:
        if key is not None and b"\\" not in key and (plain := key[1:-1].decode()).isprintable():
            return plain
        return str(json.loads(key or b""))
    except ValueError:
        raise DocumentError("a key is no JSON string") from None
