"""Requests of a connection whose bytes come in any pieces are those that came in one piece."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from judged_requests import WE_READ, WE_REFUSE, judge, unexplained
from requests_made import REQUESTS
from split_front import Seen, seen
from splits import Property, everywhere, somewhere

GET = b"GET http://h/a HTTP/1.1\r\nHost: h\r\n"
POST = b"POST http://h/b HTTP/1.1\r\nHost: h\r\n"
LAST = b"GET http://h/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
SPLIT: dict[str, tuple[bytes, tuple[int, ...], list[bytes]]] = {
    "simple": (GET + b"\r\n" + LAST, (200, 200), [b"", b""]),
    "the same field twice": (GET + b"X: y\r\nX: z\r\n\r\n" + LAST, (200, 200), [b"", b""]),
    "an empty line before": (b"\r\n" + GET + b"\r\n" + LAST, (200, 200), [b"", b""]),
    "length": (POST + b"Content-Length: 5\r\n\r\nhello" + LAST, (200, 200), [b"hello", b""]),
    "chunks": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n, w\r\n0\r\nX: y\r\n\r\n" + LAST,
        (200, 200),
        [b"hello, w", b""],
    ),
    "held back": (
        POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello" + LAST,
        (100, 200, 200),
        [b"hello", b""],
    ),
    "HTTP/1.0": (
        GET.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n" + LAST,
        (200, 200),
        [b"", b""],
    ),
    "no HTTP": (b"hello\r\nworld\r\n\r\n", (400,), []),
    "no field": (GET + b"no field\r\n\r\n" + LAST, (400,), []),
    "line feeds alone": (GET.replace(b"\r", b"") + b"\n" + LAST, (400,), []),
    "length and coding": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + LAST,
        (400,),
        [],
    ),
    "looks like a length": (POST + b"Content_Length: 5\r\n\r\nhello" + LAST, (400,), []),
    "another coding": (POST + b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n" + LAST, (501,), []),
    "no chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n" + LAST, (400,), []),
    "too short": (POST + b"Content-Length: 5\r\n\r\nhell", (400,), []),
    "half a head": (GET + b"X: y\r\n", (), []),
}


@pytest.mark.parametrize("name", SPLIT)
def test_split_at_each_position(name: str) -> None:
    raw, statuses, bodies = SPLIT[name]
    whole = seen([raw])
    assert (whole.statuses, [one.body for one in whole.requests]) == (statuses, bodies)
    for pieces in everywhere(raw):
        assert seen(pieces) == whole, pieces
        assert seen(pieces, slow=random.Random(len(pieces[0]))) == whole, pieces


@pytest.mark.parametrize("name", SPLIT)
def test_by_tls_in_any_records_and_pieces(name: str) -> None:
    raw, statuses, bodies = SPLIT[name]
    for seed in range(30):
        found = seen([raw], tls=seed, slow=random.Random(seed) if seed % 2 else None)
        assert (found.statuses, [one.body for one in found.requests]) == (statuses, bodies), seed


def test_of_content_that_nobody_reads_nothing_becomes_a_request() -> None:
    """Whether the next request can be read may depend on what is there by then, not what it is."""
    for raw, _statuses, _bodies in SPLIT.values():
        whole = without_content(seen([raw], reads=False))
        for pieces in everywhere(raw):
            found = without_content(seen(pieces, reads=False))
            assert found.requests == whole.requests[: len(found.requests)], pieces


def test_a_head_that_drips_is_given_up() -> None:
    whole = [GET, *[b"X: y\r\n"] * 40, b"\r\n"]
    assert len(seen(whole, pace=0.5).requests) == 1
    assert seen(whole, pace=3.0) == Seen((), ())


def test_a_head_that_was_waited_for_has_its_own_time() -> None:
    assert len(seen([GET, b"\r\n"], idle=70.0, pace=4.0).requests) == 1


def without_content(found: Seen) -> Seen:
    return replace(found, requests=tuple(replace(one, body=b"") for one in found.requests))


def check_requests(raw: bytes, seed: int) -> None:
    """Any pieces make the same requests, and h11 makes those too, or a row says why not."""
    whole = seen([raw])
    chance = random.Random(seed)
    for _ in range(2):
        pieces = somewhere(raw, chance.random())
        found = seen(pieces, slow=chance if chance.random() < 0.5 else None)
        assert found.requests == whole.requests[: len(found.requests)], pieces
        # Content that an answer does not wait for may bar the way to what comes behind it.
        assert found == whole or not set(whole.statuses) <= {100, 200, 400}, pieces
    pieces = somewhere(raw, chance.random())
    unread = without_content(seen(pieces, reads=False)).requests
    read = without_content(whole).requests
    assert unread[: len(read)] == read[: len(unread)], pieces
    assert not unexplained(raw, whole, judge(raw)), (whole, judge(raw))


PROPERTIES = (Property(check_requests, (REQUESTS, st.integers(0, 1 << 30))),)


def test_requests_are_the_same_in_any_pieces() -> None:
    PROPERTIES[0].hold(300)


DIFFERENT = {
    "behind one in HTTP/1.0 that keeps alive": GET.replace(b"1.1", b"1.0")
    + b"Connection: keep-alive\r\n\r\n"
    + LAST,
    "blanks before a chunk's extension": POST + b"Transfer-Encoding: chunked\r\n\r\n1 ;a\r\nx\r\n0\r\n\r\n",
    "content of GET and HEAD": GET + b"Content-Length: 1\r\n\r\nx",
    "a line feed alone": POST + b"X: y\n\r\n",
    "a field's line that goes on in the next": POST + b"X: y\r\n z\r\n\r\n",
    "a chunk's extension without a name": POST + b"Transfer-Encoding: chunked\r\n\r\n0;\r\n\r\n",
    "another expectation": POST + b"Expect: wonders\r\n\r\n",
    "a path that is none of the ways in": POST + b"Content-Length: 70000\r\n\r\n" + b"x" * 70000,
}


@pytest.mark.parametrize("row", [*WE_READ, *WE_REFUSE], ids=lambda row: row[0])
def test_each_difference_that_is_explained_is_there(row: tuple[str, str, object]) -> None:
    raw = DIFFERENT[row[0]]
    if "path" in row[0]:
        raw = raw.replace(b"http://h/b", b"/b") + LAST
    ours, theirs = seen([raw]).requests, judge(raw)
    assert len(ours) != len([one for one in theirs if one.target.startswith("http:")])
