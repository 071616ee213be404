"""A led flight as a context: whichever way it is left, its body comes in or it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fetching_parts import BODY, NONE, RULES, STRONG, Parts, asking, entry_of, parts_in, reply
from scripted import Scripted, get

from pyproxycache import clock
from pyproxycache.body import FileSlice
from pyproxycache.errors import BrokenOff, ClientGone, NoSpace, ProxyError, StoreError, UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.fetching.leader import (
    Downloading,
    Freshened,
    Passed,
    Stale,
    WholeInstead,
    close_unused,
)
from pyproxycache.fetching.leading import Leading
from pyproxycache.fetching.transfers.source import Source
from pyproxycache.messages import Headers, Request
from pyproxycache.outcome import Forward
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules import decide
from pyproxycache.rules.decisions import Fetch
from pyproxycache.store.values import End
from pyproxycache.url import Url

URL = Url("http", "origin.example", 80, "/a")
KEY = FlightKey("http://origin.example/a")
CACHE_FAILED = "the cache failed"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with parts_in(tmp_path) as made:
        yield made


@dataclass
class Answer:
    """In place of an origin's."""

    closed: int = 0

    def close(self) -> None:
        self.closed += 1


class Starts:
    """Notes what was started, and fails if it is to."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.started: list[tuple[Any, ...]] = []
        self._failure = failure

    def __call__(self, *what: Any) -> None:
        self.started.append(what)
        if self._failure is not None:
            raise self._failure


# How it is left, the end that the flight then has, and the error that those who wait get.
WAYS_OUT: list[tuple[BaseException | None, End, ProxyError | None]] = [
    (None, End.LOST, None),
    (ClientGone("gone"), End.LOST, None),
    (UpstreamError("refused"), End.FAILED, UpstreamError("refused")),
    (BrokenOff("short"), End.FAILED, BrokenOff("short")),
    (StoreError("/a/path"), End.FAILED, UpstreamError(CACHE_FAILED)),
    (NoSpace("/a/path"), End.FAILED, UpstreamError(CACHE_FAILED)),
    (ValueError("a fault"), End.FAILED, UpstreamError(CACHE_FAILED)),
    (KeyboardInterrupt(), End.FAILED, UpstreamError(CACHE_FAILED)),
    (GeneratorExit(), End.LOST, None),
]
IDS = [type(way[0]).__name__ for way in WAYS_OUT]


def leave(leading: Leading, error: BaseException | None) -> None:
    with contextlib.suppress(*([type(error)] if error is not None else [])), leading:
        if error is not None:
            raise error


def told(error: ProxyError | None) -> tuple[type, str]:
    return type(error), str(error)


@pytest.mark.parametrize(("error", "end", "known"), WAYS_OUT, ids=IDS)
def test_a_flight_with_no_head_ends(
    parts: Parts, error: BaseException | None, end: End, known: ProxyError | None
) -> None:
    writer, starts = parts.lead(KEY), Starts()
    leave(Leading(writer, RULES, starts), error)
    now = writer.flight.progress()
    assert (now.end, told(now.error), starts.started) == (end, told(known), [])
    assert parts.lead(KEY) is not writer  # nobody has it any more


@pytest.mark.parametrize("error", [way[0] for way in WAYS_OUT], ids=IDS)
def test_a_body_that_has_begun_comes_in(parts: Parts, error: BaseException | None) -> None:
    writer, starts = parts.lead(KEY), Starts()
    request, source = get(URL), Source(Answer(), 5)  # type: ignore[arg-type]
    leading = Leading(writer, RULES, starts)
    writer.begin(entry_of(KEY.cache_key, STRONG), len(BODY))
    leading.begin(request, source)
    assert starts.started == []  # before it is left the body is nobody's
    leave(leading, error)
    assert starts.started == [(writer, RULES, request, source)]
    assert writer.flight.progress().end is None
    leave(leading, None)
    assert len(starts.started) == 1
    writer.finish(End.LOST)


@pytest.mark.parametrize("error", [way[0] for way in WAYS_OUT], ids=IDS)
def test_an_end_that_it_has_stays(parts: Parts, error: BaseException | None) -> None:
    writer, starts = parts.lead(KEY), Starts()
    writer.finish(End.PASSED)
    leave(Leading(writer, RULES, starts), error)
    assert (writer.flight.progress().end, starts.started) == (End.PASSED, [])


@pytest.mark.parametrize("failure", [MemoryError(), ValueError()], ids=["MemoryError", "ValueError"])
def test_what_cannot_be_started_ends(parts: Parts, failure: Exception) -> None:
    writer, answer = parts.lead(KEY), Answer()
    leading = Leading(writer, RULES, Starts(failure))
    writer.begin(entry_of(KEY.cache_key, NONE), len(BODY))
    leading.begin(get(URL), Source(answer, 5))  # type: ignore[arg-type]
    with pytest.raises(type(failure)):
        leave(leading, None)
    assert (writer.flight.progress().end, answer.closed) == (End.FAILED, 1)


@pytest.mark.parametrize("error", [way[0] for way in WAYS_OUT], ids=IDS)
@pytest.mark.parametrize("validator", [STRONG, NONE], ids=["validator", "none"])
def test_what_can_be_resumed_is_left(
    parts: Parts, error: BaseException | None, validator: tuple[str, str]
) -> None:
    writer = parts.lead(KEY)
    writer.begin(entry_of(KEY.cache_key, validator), len(BODY))
    writer.file.write(BODY[:1000])
    leave(Leading(writer, RULES, Starts()), error)
    again = parts.lead(KEY)
    assert again.size == (1000 if validator is STRONG else 0)
    again.finish(End.LOST)


# What an origin says, what its leader gets, and how the flight ends that is then left.

OTHER = ("ETag", '"2"')
SAID = f"bytes 5-9/{len(BODY)}"
STALE_FIELDS = (("Cache-Control", "max-age=0, stale-if-error=1000"),)


def ask(parts: Parts, server: Scripted, fetch: Fetch, request: Request) -> tuple[Any, Leading]:
    key = FlightKey(str(request.url))
    with parts.leader.lead(parts.lead(key), RULES) as leading:
        led = parts.leader.ask(leading, request, fetch, Facts())
        if isinstance(led, Downloading) and leading.flight.progress().end is None:
            now = leading.flight.progress()
            reader = leading.flight.read(now, 0, None)
    if isinstance(led, Downloading) and leading.flight.body is None:
        assert b"".join(p.read() if isinstance(p, FileSlice) else p for p in reader) == BODY
    close_unused(led)
    return led, leading


@pytest.mark.parametrize(
    ("answer", "wanted", "kind", "end"),
    [
        (reply(200, BODY, STRONG), None, Downloading, End.STORED),
        (reply(200, BODY, NONE), None, Downloading, End.STORED),
        (reply(200, b"small", STRONG), None, Downloading, End.STORED),
        (reply(200, BODY, ("Cache-Control", "no-store")), None, Passed, End.PASSED),
        (reply(200, b"small", ("Cache-Control", "no-store")), None, Passed, End.PASSED),
        (reply(200, BODY, STRONG), "bytes=5-9", WholeInstead, End.LOST),
        (reply(206, BODY[5:10], STRONG, ("Content-Range", SAID)), "bytes=5-9", Downloading, End.STORED),
    ],
)
def test_each_answer_ends_the_flight_or_starts_the_body(
    parts: Parts, answer: bytes, wanted: str | None, kind: type, end: End
) -> None:
    with Scripted([answer]) as server:
        request = asking(server, *([("Range", wanted)] if wanted else []))
        led, leading = ask(parts, server, Fetch(request.headers, None, Forward.MISS), request)
        assert isinstance(led, kind)
        while leading.flight.progress().end is None:
            leading.flight.wait_change(leading.flight.progress(), 10)
        assert leading.flight.progress().end is end


@pytest.mark.parametrize(
    ("answer", "kind", "end"),
    [
        (b'HTTP/1.1 304 N\r\nETag: "1"\r\nCache-Control: max-age=9\r\n\r\n', Freshened, End.FRESHENED),
        (reply(503, b"later"), Stale, End.STALE),
        (b"no HTTP\r\n\r\n", Stale, End.STALE),
    ],
)
def test_a_stale_response_is_validated_or_stands_in(
    parts: Parts, answer: bytes, kind: type, end: End
) -> None:
    with Scripted([answer], [answer]) as server:
        key, plain = str(server.url()), asking(server)
        old = entry_of(key, STRONG, at=clock.wall() - 10)
        fields = Headers([*old.headers, *STALE_FIELDS])
        parts.keep(replace(old, head=replace(old.head, headers=fields)), BODY)
        fetch = decide.validating(plain, parts.stored(key)[0], Forward.STALE)
        led, leading = ask(parts, server, fetch, plain)
        assert (type(led), leading.flight.progress().end) == (kind, end)


@pytest.mark.parametrize("answer", [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n"])
def test_an_origin_that_fails_is_told_to_all(parts: Parts, answer: bytes) -> None:
    with Scripted([answer], [answer]) as server:
        request = asking(server)
        writer = parts.lead(FlightKey(str(request.url)))
        with pytest.raises(UpstreamError) as failed, parts.leader.lead(writer, RULES) as leading:
            parts.leader.ask(leading, request, Fetch(request.headers, None, Forward.MISS), Facts())
        now = writer.flight.progress()
        assert (now.end, str(now.error)) == (End.FAILED, str(failed.value))
