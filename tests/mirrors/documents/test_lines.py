"""Lines of a text, read or left out, against a reader of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.lines import with_lines

TEXTS = st.text(st.sampled_from("ab\n\r é"), max_size=30)


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@given(TEXTS, st.integers(1, 9))
def test_each_line_is_read_and_nothing_changes(text: str, size: int) -> None:
    seen: list[str] = []

    def is_shown(line: bytes) -> bool:
        seen.append(line.decode())
        return True

    assert b"".join(with_lines(pieces(text.encode(), size), is_shown)).decode() == text
    assert seen == (text.split("\n")[:-1] if text.endswith("\n") or not text else text.split("\n"))


@given(TEXTS, st.integers(1, 9))
def test_lines_are_left_out(text: str, size: int) -> None:
    shown = b"".join(with_lines(pieces(text.encode(), size), lambda line: b"a" not in line)).decode()
    whole = text.split("\n")
    kept = [line + "\n" for line in whole[:-1] if "a" not in line]
    assert shown == "".join(kept) + (whole[-1] if "a" not in whole[-1] else "")


def test_a_line_has_a_limit() -> None:
    with pytest.raises(DocumentError, match="1 MB"):
        list(with_lines((b"x" * (1 << 18) for _ in range(20)), lambda _line: True))


def test_short_pieces_of_a_long_line_take_time_in_proportion() -> None:
    text = b"x" * 900_000 + b"\ny"
    assert b"".join(with_lines(pieces(text, 9), lambda _line: True)) == text
