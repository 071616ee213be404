"""What holds for a body, whatever it comes from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyproxycache.body import EMPTY, Body, BytesBody, FileSlice, Piece, WouldBlock, in_blocks, size_of
from pyproxycache.front.memory.answer_file import AnswerFile, FileBody
from pyproxycache.store.bodies.blobs import BlobReader

DATA = bytes(range(200))


def opened(tmp_path: Path) -> int:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return os.open(path, os.O_RDONLY)


BODIES: dict[str, Callable[[Path], Body]] = {
    "bytes": lambda _tmp_path: BytesBody(DATA[10:60]),
    "blob": lambda tmp_path: BlobReader(opened(tmp_path), 10, 60),
    "file": lambda tmp_path: FileBody(AnswerFile(opened(tmp_path), 10, 50)),
}


def nobody() -> None:
    raise AssertionError("it is there")


def content(piece: Piece | None) -> bytes:
    assert piece is not None
    return piece if isinstance(piece, bytes) else piece.read()


@pytest.fixture(params=BODIES)
def body(request: pytest.FixtureRequest, tmp_path: Path) -> Body:
    return BODIES[request.param](tmp_path)


def test_it_is_read_as_it_is_taken(body: Body) -> None:
    assert content(next(body)) == DATA[10:60]
    with pytest.raises(StopIteration):
        next(body)


def test_what_is_there_is_taken(body: Body) -> None:
    assert content(body.take(nobody)) == DATA[10:60]
    with pytest.raises(StopIteration):
        body.take(nobody)


def test_it_is_closed_more_than_once(body: Body) -> None:
    next(body)
    body.close()
    body.close()


def test_what_is_there_as_one_piece_is_known_before_it_is_taken(body: Body) -> None:
    ready = body.ready_piece()
    assert ready is not None
    assert (content(ready), size_of(ready)) == (DATA[10:60], 50)
    assert content(next(body)) == DATA[10:60]


def test_what_has_to_be_waited_for_is_not_taken() -> None:
    class Waited(Body):
        def __next__(self) -> Piece:
            return FileSlice(-1, 0, 1)

        def close(self) -> None: ...

    body = Waited()
    assert body.ready_piece() is None
    with pytest.raises(WouldBlock):
        body.take(nobody)
    assert size_of(next(body)) == 1


def test_the_empty_body_stays_empty() -> None:
    assert [list(EMPTY), list(EMPTY)] == [[], []]
    EMPTY.close()
    assert list(EMPTY) == []


def test_a_file_that_was_cut_short_is_no_shorter_slice(tmp_path: Path) -> None:
    cut = FileSlice(opened(tmp_path), 190, 50)
    with pytest.raises(OSError, match="cut short to 200 of 240 bytes"):
        cut.read()
    pieces = in_blocks([b"ab", cut])
    assert [next(pieces), next(pieces)] == [b"ab", DATA[190:]]
    with pytest.raises(OSError, match="cut short"):
        next(pieces)
    os.close(cut.fd)
