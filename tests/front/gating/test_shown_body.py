"""A document as it is shown: piece by piece, or whole where it is small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from pyproxycache.body import BytesBody
from pyproxycache.errors import BrokenOff
from pyproxycache.front.gating.shown_body import ShownBody
from pyproxycache.mirrors.documents.document_error import DocumentError

TEXT = b"0123456789"


def upper(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for number in piece:
            yield b"<%c>" % number


def broken(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield from upper(pieces)
    raise DocumentError("it has no end")


def shown(read: object = upper) -> ShownBody:
    return ShownBody(BytesBody(TEXT), "", "a document", read)  # type: ignore[arg-type]


ALL = b"".join(b"<%c>" % number for number in TEXT)


@pytest.mark.parametrize("most", [len(ALL), len(ALL) + 1, 1000])
def test_a_small_one_is_there_whole(most: int) -> None:
    assert shown().whole(most) == ALL


@pytest.mark.parametrize("most", range(len(ALL)))
def test_of_one_that_is_larger_nothing_is_lost(most: int) -> None:
    body = shown()
    assert body.whole(most) is None
    assert b"".join(map(bytes, body)) == ALL


@pytest.mark.parametrize("most", [0, 5, len(ALL), 1000])
def test_one_that_cannot_be_shown_breaks_off_where_it_fails(most: int) -> None:
    body = shown(broken)
    assert body.whole(most) is None
    assert b"".join(bytes(next(body)) for _ in TEXT) == ALL
    with pytest.raises(BrokenOff, match="it has no end"):
        next(body)
