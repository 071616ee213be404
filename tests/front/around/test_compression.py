"""Which answers are coded, with which validators, and that a coded body is the same content."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.body import Body, BytesBody
from pyproxycache.front.around.coded_body import CodedBody, coders
from pyproxycache.front.around.compression import Compression
from pyproxycache.front.presentation.changed_bodies import mark_of
from pyproxycache.messages import Head, Headers
from pyproxycache.mirrors.documents.unpacked import zstd_library
from pyproxycache.response import Response

TYPES = ("text/*", "application/json", "application/*+json")
TEXT = b"some text that can be packed\n" * 100
GZIP, ZSTD = mark_of("gzip"), mark_of("zstd")


def compression(least: int = 100) -> Compression:
    known = coders()
    return Compression({name: known[name] for name in ("zstd", "gzip") if name in known}, TYPES, least)


def answer(
    *fields: tuple[str, str], status: int = 200, body: bytes = TEXT, media: str = "text/css"
) -> Response:
    headers = Headers([("Content-Type", media), ("Content-Length", str(len(body))), *fields])
    return Response(Head(status, "", headers), BytesBody(body), len(body))


def read(body: Body) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in body)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("br, gzip;q=0.1", "gzip"),
        ("*", "zstd"),
        ("zstd, gzip", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.1", "gzip"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("*;q=0.5, gzip", "gzip"),
        ("gzip;q=0.5, *", "zstd"),
        ("identity, gzip;q=0.2", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.2", "gzip"),
        ("gzip, zstd;q=0", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=2", ""),
        ("br", ""),
        ("identity", ""),
        ("", ""),
        (None, ""),
        ("x" * 10_000, ""),
    ],
)
def test_the_coding_that_a_client_wants(accepted: str | None, coding: str) -> None:
    if zstd_library() is None:
        pytest.skip("no zstd")
    headers = Headers([("Accept-Encoding", accepted)] if accepted is not None else ())
    assert compression().chosen(headers) == coding


@pytest.mark.parametrize(
    ("response", "is_coded"),
    [
        (answer(), True),
        (answer(media="Text/HTML; charset=utf-8"), True),
        (answer(media="application/problem+json", status=404), True),
        (answer(body=TEXT[:99]), False),
        (answer(media="image/png"), False),
        (answer(media="text/event-stream"), False),
        (answer(media=""), False),
        (answer(("Content-Encoding", "br")), False),
        (answer(("Content-Encoding", "identity")), True),
        (answer(("Cache-Control", "max-age=5, No-Transform")), False),
        (answer(status=206), False),
        (answer(status=204), False),
        (answer(status=304), False),
    ],
)
def test_which_answers_are_coded(response: Response, is_coded: bool) -> None:
    coded = compression().coded(Headers(), "gzip", "GET", response)
    assert (coded.head.headers.get("content-encoding") == "gzip") == is_coded
    if not is_coded:
        assert coded is response
        return
    assert coded.length is None
    assert "content-length" not in coded.head.headers
    assert zlib.decompress(read(coded.body), wbits=31) == TEXT


def test_what_is_of_the_content_as_it_was_goes() -> None:
    of_content = [
        ("ETag", '"a"'),
        ("Accept-Ranges", "bytes"),
        ("Repr-Digest", "sha-256=:AA==:"),
        ("Content-Digest", "sha-256=:AA==:"),
        ("Content-MD5", "AA=="),
        ("X", "1"),
    ]
    coded = compression().coded(Headers(), "gzip", "GET", answer(*of_content))
    kept = [("Content-Type", "text/css"), ("X", "1"), ("Content-Encoding", "gzip"), ("ETag", f'"a~{GZIP}"')]
    assert coded.head.headers == Headers(kept)


def test_head_is_answered_as_get_without_the_body() -> None:
    response = Response(answer(("ETag", 'W/"a"')).head, length=0)
    coded = compression().coded(Headers(), "gzip", "HEAD", response)
    assert coded.head.headers.get("etag") == f'W/"a~{GZIP}"'
    assert (coded.length, read(coded.body)) == (None, b"")
    short = Response(answer(body=TEXT[:99]).head, length=0)
    assert compression().coded(Headers(), "gzip", "HEAD", short) is short


@pytest.mark.parametrize(
    ("name", "coding", "before", "after"),
    [
        ("If-None-Match", "gzip", f'"a~{GZIP}"', '"a"'),
        ("If-None-Match", "gzip", f'W/"a~{GZIP}", "b"', 'W/"a", "b"'),
        ("If-None-Match", "", f'"a~{GZIP}"', None),
        ("If-None-Match", "zstd", f'"a~{GZIP}", "b"', '"b"'),
        ("If-None-Match", "gzip", "*", "*"),
        ("If-None-Match", "gzip", '"a~00000000"', '"a~00000000"'),
        ("If-Match", "", f'"a~{GZIP}"', '"a"'),
        ("If-Match", "gzip", f'"a~{ZSTD}", "b"', '"a", "b"'),
        ("If-Range", "gzip", '"a"', '"a"'),
        ("If-Range", "gzip", "Wed, 01 Jan 2020 00:00:00 GMT", None),
        ("If-Range", "", "Wed, 01 Jan 2020 00:00:00 GMT", "Wed, 01 Jan 2020 00:00:00 GMT"),
    ],
)
def test_conditions_are_those_of_the_origin(name: str, coding: str, before: str, after: str | None) -> None:
    if coding == "zstd" and zstd_library() is None:
        pytest.skip("no zstd")
    assert compression().onward(Headers([(name, before)]), coding).get(name) == after


@pytest.mark.parametrize(
    ("sent", "coding", "expected"),
    [
        (f'"a~{GZIP}"', "gzip", f'"a~{GZIP}"'),
        (f'"b", W/"a~{GZIP}"', "gzip", f'"a~{GZIP}"'),
        ('"a"', "gzip", '"a"'),
        (f'"a~{GZIP}"', "", '"a"'),
    ],
)
def test_not_modified_has_the_tag_of_the_client(sent: str, coding: str, expected: str) -> None:
    response = Response(Head(304, "", Headers([("ETag", '"a"')])))
    coded = compression().coded(Headers([("If-None-Match", sent)]), coding, "GET", response)
    assert coded.head.headers.get("etag") == expected


@pytest.mark.parametrize(("extra", "status"), [([], 304), ([("Set-Cookie", "a=b")], 200)])
def test_what_an_upstream_has_coded_alike_is_known_if_it_sets_no_cookie(
    extra: list[tuple[str, str]], status: int
) -> None:
    tag = f'"a~{GZIP}"'
    response = answer(("ETag", tag), ("Content-Encoding", "gzip"), *extra)
    coded = compression().coded(Headers([("If-None-Match", tag)]), "gzip", "GET", response)
    cookie = coded.head.headers.get("set-cookie")
    assert (coded.head.status, cookie) == (status, dict(extra).get("Set-Cookie"))


def test_all_that_may_be_coded_varies() -> None:
    shown = compression().shown
    assert shown(answer().head).headers.get("vary") == "Accept-Encoding"
    assert shown(answer(("Vary", "Origin")).head).headers.get("vary") == "Origin, Accept-Encoding"
    assert shown(Head(304)).headers.get("vary") == "Accept-Encoding"
    assert shown(answer(status=206).head).headers.get("vary") == "Accept-Encoding"
    assert "vary" not in shown(answer(media="image/png").head).headers


class Pieces(Body):
    """A body of these pieces, which notes that it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self.is_closed = False

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self.is_closed = True


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans(), st.sampled_from(sorted(coders())))
def test_what_is_coded_is_the_same_content(pieces: list[bytes], flushes: bool, coding: str) -> None:
    source = Pieces(pieces)
    body = CodedBody(source, coders()[coding](), flushes=flushes)
    coded = read(body)
    unpacked = zlib.decompress(coded, wbits=31) if coding == "gzip" else zstd_library().decompress(coded)
    assert unpacked == b"".join(pieces)
    body.close()
    assert source.is_closed


def test_clients_get_each_piece_as_it_comes() -> None:
    """Of a body that is being made, each piece can be read before there is another one."""
    got, unpacker = [], zlib.decompressobj(wbits=31)

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            assert b"".join(got) == b"".join(b"piece %d\n" % one for one in range(number))
            yield b"piece %d\n" % number

    for piece in CodedBody(Pieces(pieces()), coders()["gzip"](), flushes=True):
        assert isinstance(piece, bytes)
        got.append(unpacker.decompress(piece))
    assert len(b"".join(got)) == 24
