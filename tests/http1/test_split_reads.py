"""An answer read from a connection that splits it anywhere is the answer that came in one piece."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from itertools import product

import pytest
from answers_made import ANSWERS
from hypothesis import strategies as st
from judged_answers import BOTH_READ, WE_READ, WE_REFUSE, Hooks, judge, read, unexplained
from splits import Property, everywhere, plain, secured, somewhere

from pyproxycache.net.reader import Reader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
PARTS = b"--a\r\nContent-Range: bytes 0-1/9\r\n\r\nhe\r\n--a\r\nContent-Range: bytes 4-5/9\r\n\r\n, "
PARTS += b"\r\n--a--\r\n"
SPLIT = {
    "chunks": (CHUNKED + b"5\r\nhello\r\n3;a=b\r\n, w\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello, w"),
    "no chunk": (CHUNKED + b"0\r\n\r\n", b""),
    "no end of the trailers": (CHUNKED + b"5\r\nhello\r\n0\r\n", b"hello"),
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "until close": (OK + b"X-Folded: a\r\n b\r\n\r\nhello", b"hello"),
    "line feeds alone": (OK.replace(b"\r", b"") + b"Content-Length: 5\n\nhello", b"hello"),
    "interim": (HINTS + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    "several ranges": (
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=a\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(PARTS), PARTS),
        PARTS,
    ),
    "another protocol": (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n\r\nraw\n\r\n", b"\r\nraw\n\r\n"),
    "short": (OK + b"Content-Length: 9\r\n\r\nhello", b"hello"),
    "short chunk": (CHUNKED + b"9\r\nhello", b"hello"),
    "no chunk size": (CHUNKED + b"5\r\nhello\r\nx\r\n", b"hello"),
    "no answer": (b"HTTP/1.1 200 OK\r\nno field\r\n\r\n", b""),
}
HOOKS = [Hooks(*values) for values in product((False, True), (False, True), (0, 5, 1 << 16), (False, True))]


@pytest.mark.parametrize("name", SPLIT)
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stays open"])
def test_split_at_each_position(name: str, ends: bool) -> None:
    raw, body = SPLIT[name]
    method = "UPGRADE" if name == "another protocol" else "GET"
    for hooks, early in product(HOOKS, (False, True)):
        with plain([raw], ends=ends) as sock:
            whole = read(sock, method, hooks)
        assert whole.body == body
        for pieces in everywhere(raw):
            with plain(pieces, ends=ends, early=early) as sock:
                assert read(sock, method, hooks) == whole, (pieces, hooks, early)


@pytest.mark.parametrize("name", SPLIT)
def test_split_anywhere_within_tls(name: str) -> None:
    raw, body = SPLIT[name]
    method = "UPGRADE" if name == "another protocol" else "GET"
    with secured(raw, 0) as sock:
        whole = read(sock, method, Hooks())
    assert whole.body == body
    for seed, hooks in enumerate(HOOKS):
        with secured(raw, seed, early=bool(seed % 2)) as sock:
            assert read(sock, method, hooks) == whole, (seed, hooks)


def check_answer(raw: bytes, seed: int, ends: bool, method: str) -> None:
    """Any pieces and hooks make the same of it, and h11 makes that too, or a row says why not."""
    with plain([raw], ends=ends) as sock:
        whole = read(sock, method, Hooks())
    chance = random.Random(seed)
    for _ in range(4):
        pieces, hooks = somewhere(raw, chance.random()), chance.choice(HOOKS)
        with plain(pieces, ends=ends, early=chance.random() < 0.5) as sock:
            assert read(sock, method, hooks) == whole, (pieces, hooks)
    theirs = judge(raw, method, ends=ends)
    assert not unexplained(raw, whole, theirs), (whole, theirs)


def check_secured(raw: bytes, seed: int, method: str) -> None:
    """The same within TLS."""
    with plain([raw]) as sock:
        whole = read(sock, method, Hooks())
    with secured(raw, seed, early=bool(seed % 2)) as sock:
        assert read(sock, method, HOOKS[seed % len(HOOKS)]) == whole


SEEDS = st.integers(0, 1 << 30)
METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD"])
PROPERTIES = (
    Property(check_answer, (ANSWERS, SEEDS, st.booleans(), METHODS)),
    Property(check_secured, (ANSWERS, SEEDS, METHODS)),
)


@pytest.mark.parametrize(("held", "examples"), [(PROPERTIES[0], 800), (PROPERTIES[1], 100)])
def test_what_is_read_is_read_in_any_pieces(held: Property, examples: int) -> None:
    held.hold(examples)


DIFFERENT = {
    "words of the status line apart by blanks, any reason": b"HTTP/1.1\t200  O\x0bK\r\n\r\na",
    "blanks before a colon are taken away": OK + b"Content-Length : 1\r\n\r\na",
    "blanks before a chunk's extension": CHUNKED + b"1 ;a\r\na\r\n0\r\n\r\n",
    "trailers are dropped, whatever they say": CHUNKED + b"1\r\na\r\n0\r\nno field\r\n\r\n",
    "a body in codings of no name ends with the connection": OK + b"Transfer-Encoding: x\r\n\r\na",
    "a coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "a character in a field that is for control and a blank to h11": OK
    + b"X: a\x0bb\r\nContent-Length: 1\r\n\r\na",
    "a blank for a control character in a field": OK + b"X: a\x01b\r\nContent-Length: 1\r\n\r\na",
    "a carriage return alone in the line of a chunk": CHUNKED + b"1\r\na\r\n0;\ra\r\n\r\n",
    "another HTTP": b"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    "one blank for a folded line": OK + b"X: a \r\n  b\r\nContent-Length: 1\r\n\r\na",
}


@pytest.mark.parametrize("row", [*WE_READ, *WE_REFUSE, *BOTH_READ], ids=lambda row: row[0])
def test_each_difference_that_is_explained_is_there(row: tuple[str, str, object]) -> None:
    raw = DIFFERENT[row[0]]
    with plain([raw]) as sock:
        ours = read(sock, "GET", Hooks())
    theirs = judge(raw, "GET", ends=True)
    assert (bool(ours.wrong), bool(theirs.wrong)) == (row in WE_REFUSE, row in WE_READ)
    assert ours != theirs


@pytest.mark.parametrize(
    "look", [lambda r: r.is_ready(), lambda r: r.holds(100)], ids=["is_ready", "holds"]
)
def test_a_reset_seen_while_looking_ahead_is_no_end(look: Callable[[Reader], bool]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with ours:
            reader = Reader(ours, 5.0)
            look(reader)
            with pytest.raises(ConnectionResetError):
                reader.some(1 << 20)
