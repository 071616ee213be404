"""A stored object answers any range like slicing its bytes does, whole or in parts."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.body import Body, FileSlice, Piece, WouldBlock
from pyproxycache.errors import BrokenOff
from pyproxycache.messages import Entry, Head, Headers, Part, Request
from pyproxycache.response import Response
from pyproxycache.rules.grammar import format_http_date
from pyproxycache.rules.parts import Plan, Segment, plan, representation
from pyproxycache.serving import responses
from pyproxycache.store.values import BodyGone, Orphaned
from pyproxycache.url import Url

NOW = 1_000_000.0
URL = Url("http", "host", 80, "/")
MODIFIED = format_http_date(NOW - 5000)
FIELDS = (
    ("Date", format_http_date(NOW - 100)),
    ("ETag", '"1"'),
    ("Last-Modified", MODIFIED),
    ("Content-Type", "text/plain; charset=utf-8"),
)


def whole(body: bytes, *fields: tuple[str, str]) -> Entry:
    return Entry("key", Head(200, "OK", Headers((*FIELDS, *fields))), NOW - 90, NOW - 90, size=len(body))


def stored_part(body: bytes, start: int, end: int, number: int = 1, *fields: tuple[str, str]) -> Entry:
    spoken = ("Content-Range", f"bytes {start}-{end}/{len(body)}")
    head = Head(206, "Partial Content", Headers((*FIELDS, spoken, *fields)))
    part = Part(start, end, len(body))
    return Entry("key", head, NOW - 90, NOW - 90, size=part.length, part=part, id=number)


class Bodies:
    """Opens bodies in small pieces and knows which of them are open."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.open: list[tuple[int, int | None]] = []
        self.opened: list[tuple[int, int | None]] = []

    def open_body(self, start: int, stop: int | None) -> Body:
        self.opened.append((start, stop))
        self.open.append((start, stop))
        return Opened(self, (start, stop))

    def open_segment(self, segment: Segment) -> Body:
        if segment.entry is not None:
            start, stop = segment.in_body
            assert 0 <= start < stop <= segment.entry.size
        return self.open_body(segment.start, segment.stop)


class Opened(Body):
    def __init__(self, bodies: Bodies, span: tuple[int, int | None]) -> None:
        self._bodies = bodies
        self._span = span
        data = bodies.body[slice(*span)]
        self._pieces = iter([data[at : at + 7] for at in range(0, len(data), 7)])

    def __next__(self) -> Piece:
        assert self._span in self._bodies.open, "read after it was closed"
        return next(self._pieces)

    def close(self) -> None:
        if self._span in self._bodies.open:
            self._bodies.open.remove(self._span)


def get(*fields: tuple[str, str]) -> Request:
    return Request("GET", URL, Headers(fields))


def read(response: Response) -> bytes:
    """All of the body, which has the length it says."""
    data = b"".join(piece.read() if isinstance(piece, FileSlice) else piece for piece in response.body)
    assert response.length == len(data)
    if response.head.status != 304:
        assert response.head.headers.get("content-length") == str(len(data))
    return data


def close(response: Response) -> None:
    response.body.close()


def given_parts(response: Response) -> list[tuple[str | None, str | None, bytes]]:
    """Content-Type, Content-Range and bytes of each part, as another parser reads them."""
    data = read(response)
    headers = response.head.headers
    content_type = headers.get("content-type") or ""
    if not content_type.startswith("multipart/"):
        return [(headers.get("content-type"), headers.get("content-range"), data)]
    assert "content-range" not in headers
    text = f"Content-Type: {content_type}\r\n\r\n".encode() + data
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(text)
    assert not message.defects
    parts = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts.append((part["content-type"], part["content-range"], content))
    return parts


# No line ends or bytes past ASCII: the other parser may change those. Both are below.
BODIES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=600).map(str.encode)
POSITIONS = st.integers(0, 700) | st.sampled_from([10**17, 10**40])
SPECS = (
    st.tuples(POSITIONS, POSITIONS).map(lambda p: f"{min(p)}-{max(p)}")
    | POSITIONS.map(lambda first: f"{first}-")
    | POSITIONS.map(lambda count: f"-{count}")
)
ODD_SPECS = st.sampled_from(["", "-", "5-3", "x-1", "1-2-3", "1 - 2", "--1", '"0-1"', "é-1"])
RANGES = (
    st.lists(SPECS, min_size=1, max_size=5).map(lambda specs: "bytes=" + ",".join(specs))
    | st.lists(SPECS, min_size=1, max_size=3).map(lambda specs: "BYTES = , " + " , ".join(specs))
    | st.lists(SPECS | ODD_SPECS, max_size=3).map(lambda specs: "bytes=" + ",".join(specs))
    | st.lists(SPECS, min_size=1, max_size=2).map(lambda specs: "lines=" + ",".join(specs))
    | st.text()
)
CONDITIONS = st.sampled_from([None, None, '"1"', '"2"', 'W/"1"', MODIFIED, format_http_date(NOW), "x"])
HOLDING = (None, '"1"', MODIFIED)
NUMBER = re.compile(r"[0-9]+")


def slices(text: str, body: bytes) -> list[bytes] | None:
    """What the ranges are of the body; None where it is no valid Range. Written with slices alone."""
    unit, mark, specs = text.partition("=")
    if unit.strip(" \t").lower() != "bytes" or unit[:1].isspace() or not mark:
        return None
    found = []
    for spec in [spec.strip(" \t") for spec in specs.split(",") if spec.strip(" \t")]:
        first, dash, last = spec.partition("-")
        for number in (first, last):
            if number and not NUMBER.fullmatch(number):
                return None
        if not dash or not (first or last) or (first and last and int(last) < int(first)):
            return None
        if first:
            found.append(body[int(first) : int(last) + 1] if last else body[int(first) :])
        else:
            found.append(body[-int(last) :] if int(last) else b"")
    return found or None


def check(response: Response, body: bytes, text: str, condition: str | None) -> None:
    """The answer is what the slices are."""
    wanted = slices(text, body) if condition in HOLDING else None
    if wanted is None or (not body and response.head.status == 200):
        assert response.head.status == 200
        assert read(response) == body
        return
    satisfiable = [part for part in wanted if part]
    if not satisfiable:
        assert response.head.status == 416
        assert response.head.headers.get("content-range") == f"bytes */{len(body)}"
        return
    assert response.head.status == 206
    parts = given_parts(response)
    if len(wanted) == 1:
        assert [content for _type, _span, content in parts] == satisfiable
    for content_type, span, content in parts:
        assert content_type == "text/plain; charset=utf-8"
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", span or "")
        assert match is not None
        first, last, total = map(int, match.groups())
        assert (content, total) == (body[first : last + 1], len(body))
    for part in satisfiable:
        assert any(part in content for _type, _span, content in parts)


def asked(text: str, condition: str | None) -> Request:
    return get(("Range", text), *([("If-Range", condition)] if condition is not None else []))


@given(BODIES, RANGES, CONDITIONS)
def test_a_whole_answers_like_slices(body: bytes, text: str, condition: str | None) -> None:
    bodies = Bodies(body)
    request = asked(text, condition)
    response = responses.from_entry(request, whole(body), len(body), NOW, bodies.open_body)
    check(response, body, text, condition)
    close(response)
    assert bodies.open == []


@given(BODIES.filter(len), RANGES, CONDITIONS, st.data())
def test_parts_answer_like_slices(
    body: bytes, text: str, condition: str | None, data: st.DataObject
) -> None:
    positions = st.integers(0, len(body) - 1)
    spans = data.draw(st.lists(st.tuples(positions, positions), min_size=1, max_size=6))
    parts = [stored_part(body, min(s), max(s), number) for number, s in enumerate(spans)]
    request = asked(text, condition)
    planned = plan(request, representation(parts), NOW)
    if planned is None:
        return
    bodies = Bodies(body)
    response = responses.from_parts(request, planned, NOW, bodies.open_segment)
    check(response, body, text, condition)
    # What is stored is not asked for again, and what is not stored is.
    held = {byte for span in spans for byte in range(min(span), max(span) + 1)}
    for segment in planned.segments:
        inside = [byte in held for byte in range(segment.start, segment.stop)]
        assert all(inside) if segment.entry is not None else not any(inside)
    close(response)
    assert bodies.open == []


@given(BODIES.filter(len), st.data())
def test_one_part_answers_what_lies_in_it(body: bytes, data: st.DataObject) -> None:
    positions = st.integers(0, len(body) - 1)
    start, first, last, end = sorted(data.draw(st.tuples(*[positions] * 4)))
    entry = stored_part(body, start, end)
    bodies = Bodies(body[start : end + 1])
    request = get(("Range", f"bytes={first}-{last}"))
    response = responses.from_entry(request, entry, entry.size, NOW, bodies.open_body)
    assert response.head.headers.get("content-range") == f"bytes {first}-{last}/{len(body)}"
    assert read(response) == body[first : last + 1]


def test_any_bytes_go_into_a_part_unchanged() -> None:
    body = bytes(range(256)) * 4 + b"\r\n--x\r\n"
    response = responses.from_entry(
        get(("Range", "bytes=-20,0-511")), whole(body), len(body), NOW, Bodies(body).open_body
    )
    boundary = (response.head.headers.get("content-type") or "").partition("boundary=")[2].encode()
    assert len(boundary) >= 16
    kind = b"Content-Type: text/plain; charset=utf-8"
    total = str(len(body)).encode()
    assert read(response) == b"\r\n".join(
        [
            b"--" + boundary,
            kind,
            b"Content-Range: bytes 1011-1030/" + total,
            b"",
            body[-20:],
            b"--" + boundary,
            kind,
            b"Content-Range: bytes 0-511/" + total,
            b"",
            body[:512],
            b"--" + boundary + b"--",
            b"",
        ]
    )


BODY = bytes(range(256)) * 4
SEVERAL = get(("Range", "bytes=500-509,0-9,900-"))


def several(bodies: Bodies, *fields: tuple[str, str]) -> Response:
    return responses.from_entry(SEVERAL, whole(BODY, *fields), len(BODY), NOW, bodies.open_body)


def test_no_boundary_comes_twice() -> None:
    types = {several(Bodies(BODY)).head.headers.get("content-type") for _ in range(10)}
    assert len(types) == 10


def test_the_head_of_several_parts() -> None:
    head = several(Bodies(BODY), ("Content-Digest", "sha-256=:AA==:")).head
    assert (head.status, head.reason) == (206, "Partial Content")
    assert head.headers.names() == {
        *("age", "content-length", "content-type", "date", "etag", "last-modified")
    }  # fmt: skip


def test_a_part_has_no_type_where_the_whole_has_none() -> None:
    entry = whole(BODY)
    entry = replace(entry, head=replace(entry.head, headers=entry.headers.without("Content-Type")))
    response = responses.from_entry(SEVERAL, entry, len(BODY), NOW, Bodies(BODY).open_body)
    assert b"Content-Type" not in read(response)


def test_each_body_is_opened_in_its_turn() -> None:
    bodies = Bodies(BODY)
    response = several(bodies)
    pieces = iter(response.body)
    assert bodies.opened == [(500, 510)]
    assert b"".join(next(pieces) for _ in range(3)).endswith(BODY[500:510])  # type: ignore[misc]
    assert bodies.opened == [(500, 510)]
    next(pieces)
    next(pieces)
    # A flight is over once nobody reads it: the next body was opened before the last was closed.
    assert (bodies.opened, bodies.open) == ([(500, 510), (0, 10)], [(0, 10)])
    close(response)
    assert bodies.open == []
    assert list(response.body) == []


def test_what_is_open_is_taken_without_waiting_and_what_comes_next_by_a_thread() -> None:
    class Ready(Opened):
        def take(self, _wake: Callable[[], None], /) -> Piece | None:
            return next(self)

    bodies = Bodies(BODY)

    def open_body(start: int, stop: int | None) -> Body:
        bodies.opened.append((start, stop))
        bodies.open.append((start, stop))
        return Ready(bodies, (start, stop))

    body = responses.from_entry(SEVERAL, whole(BODY), len(BODY), NOW, open_body).body
    taken = [body.take(lambda: None) for _ in range(4)]
    assert b"".join(taken[1:3]) == BODY[500:510]  # type: ignore[arg-type]
    with pytest.raises(WouldBlock):
        body.take(lambda: None)
    assert bodies.opened == [(500, 510)]
    assert next(body) == BODY[0:7]
    body.close()
    body.close()
    assert bodies.open == []
    with pytest.raises(StopIteration):
        body.take(lambda: None)


def test_an_answer_that_nobody_reads_is_closed() -> None:
    bodies = Bodies(BODY)
    close(several(bodies))
    assert (bodies.opened, bodies.open) == ([(500, 510)], [])


@pytest.mark.parametrize("gone", [BodyGone(), Orphaned(0)])
@pytest.mark.parametrize("available", [0, 1])
def test_what_has_gone_at_once_is_told_and_later_breaks_off(gone: Exception, available: int) -> None:
    bodies = Bodies(BODY)

    def open_body(start: int, stop: int | None) -> Body:
        if len(bodies.opened) == available:
            raise gone
        return bodies.open_body(start, stop)

    def answered() -> Response:
        return responses.from_entry(SEVERAL, whole(BODY), len(BODY), NOW, open_body)

    if available == 0:
        with pytest.raises(type(gone)):
            answered()
    else:
        response = answered()
        with pytest.raises(BrokenOff):
            list(response.body)
        assert bodies.open == []


def test_a_part_that_ends_short_is_not_followed_by_another() -> None:
    bodies = Bodies(BODY[:505])
    with pytest.raises(BrokenOff, match="5 bytes early"):
        list(several(bodies).body)
    assert bodies.open == []


def planned(request: Request, *parts: Entry) -> Plan:
    found = plan(request, representation(parts), NOW)
    assert found is not None
    return found


def test_the_age_is_that_of_the_oldest_part_in_use() -> None:
    older, oldest = stored_part(BODY, 0, 99, 2), stored_part(BODY, 100, 199, 3)
    older = replace(older, response_time=NOW - 200, request_time=NOW - 200)
    oldest = replace(oldest, head=Head(206, "", oldest.headers.with_field("Age", "400")))
    parts = (stored_part(BODY, 0, 49, 1), older, oldest)
    ages = {
        text: responses.from_parts(
            request, planned(request, *parts), NOW, Bodies(BODY).open_segment
        ).head.headers.get("age")
        for text in ("0-9", "0-149", "0-")
        for request in [get(("Range", f"bytes={text}"))]
    }
    assert ages == {"0-9": "200", "0-149": "490", "0-": "490"}


def test_the_whole_out_of_parts_is_a_200() -> None:
    parts = (stored_part(BODY, 0, 599, 1, ("X", "1")), stored_part(BODY, 500, 1023, 2))
    response = responses.from_parts(get(), planned(get(), *parts), NOW, Bodies(BODY).open_segment)
    assert (response.head.status, read(response)) == (200, BODY)
    assert "content-range" not in response.head.headers
    assert response.head.headers.get("x") == "1"


def test_a_head_is_answered_out_of_parts() -> None:
    request = Request("HEAD", URL)
    bodies = Bodies(BODY)
    found = planned(request, stored_part(BODY, 0, 599, 1), stored_part(BODY, 500, 1023, 2))
    response = responses.from_parts(request, found, NOW, bodies.open_segment)
    assert (response.head.status, response.head.headers.get("content-length")) == (200, "1024")
    assert bodies.opened == []


def test_a_client_that_has_it_needs_no_part_of_it() -> None:
    request = get(("If-None-Match", '"1"'), ("Range", "bytes=0-99"))
    bodies = Bodies(BODY)
    found = planned(request, stored_part(BODY, 0, 9))
    response = responses.from_parts(request, found, NOW, bodies.open_segment)
    assert (response.head.status, bodies.opened) == (304, [])


def test_a_part_that_lacks_some_is_given_as_the_origin_gave_it() -> None:
    bodies = Bodies(BODY[10:20])
    request = get(("Range", "bytes=0-19"))
    response = responses.from_entry(request, stored_part(BODY, 10, 19), 10, NOW, bodies.open_body)
    assert response.head.status == 206
    assert response.head.headers.get("content-range") == "bytes 10-19/1024"
    assert response.head.headers.get("age") == "100"
    assert read(response) == BODY[10:20]
