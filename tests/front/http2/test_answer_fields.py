"""Heads of answers as blocks that another library decodes to the same fields, whatever came before."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.front.http2.answer_fields import answer_fields

OF_CONNECTIONS = ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
NAMES = st.text("abcdefghijklmnopqrstuvwxyzABC-", min_size=1, max_size=200).filter(
    lambda name: name.lower() not in ("content-length", *OF_CONNECTIONS)
)
VALUES = st.text("".join(map(chr, (*range(33, 127), *range(128, 256)))), max_size=400)


def decoded(block: bytes, decoder: hpack.Decoder | None = None) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in (decoder or hpack.Decoder()).decode(block, raw=True)]


@given(st.integers(100, 999), st.lists(st.tuples(NAMES, VALUES), max_size=10))
def test_any_fields(status: int, fields: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"HTTP/1.1 {status} Some Reason\r\n{lines}\r\n".encode("latin-1")
    expected = [(b":status", str(status).encode())]
    expected += [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    decoder = hpack.Decoder(1 << 20)
    for _ in range(2):
        assert decoded(answer_fields(head).block, decoder) == expected
    assert not decoder.header_table.dynamic_entries
    assert answer_fields(head).status == status


@pytest.mark.parametrize("name", OF_CONNECTIONS)
def test_fields_of_connections_are_left_out(name: str) -> None:
    for spelling in (name, name.title(), name.upper()):
        head = f"HTTP/1.1 200 OK\r\n{spelling}: value\r\nA:  b \r\n\r\n".encode()
        assert decoded(answer_fields(head).block) == [(b":status", b"200"), (b"a", b"b")]


@pytest.mark.parametrize(("line", "length"), [(b"Content-Length: 12\r\n", 12), (b"", None)])
def test_the_length(line: bytes, length: int | None) -> None:
    assert answer_fields(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n").length == length


def test_a_reason_may_be_missing() -> None:
    assert decoded(answer_fields(b"HTTP/1.1 404 \r\n\r\n").block) == [(b":status", b"404")]


def test_cookies_are_never_indexed() -> None:
    block = answer_fields(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n\r\n").block
    _status, cookie = hpack.Decoder().decode(block)
    assert not cookie.indexable
