"""Requests on the streams of a connection, by a strict client, over a wire that cuts anywhere."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from strict_http2 import Answered, frame
from wire import Judge, RawClient, get, made

from pyproxycache.front.http2.faults import ErrorCode

SIZES = [0, 1, 1000, 16_384, 16_385, 100_000]


def post(path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return get(path, *more, method="POST")


@pytest.mark.parametrize("seed", range(12))
def test_many_answers_at_once(seed: int) -> None:
    chance = random.Random(seed)
    judge = Judge(chance, window=chance.choice((1000, 65535, 1 << 20)))
    wanted = [(chance.choice(SIZES), chance.choice(("", "/x", "/f"))) for _ in range(12)]
    streams = [judge.ask(get(f"{prefix}/{size}")) for size, prefix in wanted]
    for (size, _prefix), answered in zip(wanted, judge.all_of(streams), strict=True):
        assert (answered.status, answered.body, answered.reset) == ("200", made(size), None)
        assert answered.fields[0]["x-count"] == str(size)
    assert judge.goaway is None
    assert [one.target for one in sorted_requests(judge)] == sorted(
        f"http://h{prefix}/{size}" for size, prefix in wanted
    )


def sorted_requests(judge: Judge) -> list:  # type: ignore[type-arg]
    return sorted(judge.spoken.engine.asked, key=lambda asked: asked.target)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_content(seed: int, told: bool) -> None:
    chance = random.Random(seed)
    judge = Judge(chance, threads=4)
    contents = {f"/{size}": made(size) for size in (0, 1, 5000, 300_000)}
    asked = []
    for path, content in contents.items():
        length = [("content-length", str(len(content)))] if told else []
        asked.append(judge.ask(post(path, *length), content))
    for answered, content in zip(judge.all_of(asked), contents.values(), strict=True):
        assert (answered.status, answered.body, answered.reset) == ("200", content, None)
    assert judge.goaway is None
    read = {one.target: one.body for one in judge.spoken.engine.asked}
    assert read == {f"http://h{path}": content for path, content in contents.items()}


def test_content_is_asked_for_where_it_is_held_back() -> None:
    judge = Judge(threads=1)
    stream = judge.h2.get_next_available_stream_id()
    judge.answers[stream] = Answered()
    judge.h2.send_headers(stream, post("/5", ("expect", "100-continue"), ("content-length", "3")))
    judge.flush()
    judge.spoken.run(lambda: bool(judge.answers[stream].fields))
    assert judge.answers[stream].status == "100"
    judge.h2.send_data(stream, b"abc", end_stream=True)
    judge.flush()
    (answered,) = judge.all_of([stream])
    assert (answered.status, judge.spoken.engine.asked[0].body) == ("200", b"abc")


def test_trailers_end_content() -> None:
    judge = Judge(threads=1)
    stream = judge.h2.get_next_available_stream_id()
    judge.answers[stream] = Answered()
    judge.h2.send_headers(stream, post("/5"))
    judge.h2.send_data(stream, b"abc")
    judge.h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)
    judge.flush()
    (answered,) = judge.all_of([stream])
    assert (answered.status, judge.spoken.engine.asked[0].body) == ("200", b"abc")


def test_content_that_nobody_reads_is_not_sent_to_its_end() -> None:
    """The answer is whole, and the client is told that the rest is not wanted (RFC 9113 section 8.1)."""
    judge = Judge()
    judge.spoken.engine.reads = False
    content = made(300_000)
    (answered,) = judge.all_of([judge.ask(post("/5", ("content-length", "300000")), content)])
    judge.spoken.settle()
    assert (answered.status, answered.body) == ("200", made(5))
    assert answered.reset == ErrorCode.NO_ERROR
    (answered,) = judge.all_of([judge.ask(get("/900"))])
    assert answered.body == made(900)


def test_heads_alone() -> None:
    judge = Judge()
    answered = judge.all_of([judge.ask(get("/1000", method="HEAD")), judge.ask(get("/0"))])
    assert [(one.status, one.body, one.is_whole) for one in answered] == [("200", b"", True)] * 2
    assert [one.fields[0]["content-length"] for one in answered] == ["1000", "0"]


def test_the_version_is_known() -> None:
    judge = Judge()
    judge.all_of([judge.ask(get("/1", ("x-y", "z"), ("cookie", "a=b"), ("cookie", "c=d")))])
    (asked,) = judge.spoken.engine.asked
    assert dict(asked.fields) == {"host": "h", "x-y": "z", "cookie": "a=b; c=d"}
    assert judge.spoken.engine.versions == {(2, 0)}


def test_no_field_of_connections_is_sent() -> None:
    judge = Judge()
    for path in ("/5", "/x/5"):
        (answered,) = judge.all_of([judge.ask(get(path))])
        names = answered.fields[0].keys()
        assert not names & {"connection", "keep-alive", "transfer-encoding"}
        assert all(name == name.lower() for name in names)


def test_a_stream_whose_client_takes_nothing_holds_up_no_other() -> None:
    judge = Judge(window=1000)
    judge.reads = False
    slow = judge.ask(get("/100000"))
    judge.spoken.settle()
    assert judge.answers[slow].body == made(100_000)[:1000]
    others = [judge.ask(get("/900")) for _ in range(30)]
    assert all(one.body == made(900) for one in judge.all_of(others))
    assert not judge.answers[slow].is_whole


@pytest.mark.parametrize("kind", ["", "/f"])
def test_streams_have_equal_shares(kind: str) -> None:
    """The wire takes some at a time; no stream is far ahead of another one."""
    judge = Judge(window=1 << 24)
    judge.h2.increment_flow_control_window(1 << 24)
    judge.flush()
    judge.spoken.wire.takes_nothing = True
    streams = [judge.ask(get(f"{kind}/900000")) for _ in range(8)]
    judge.spoken.settle()
    judge.spoken.wire.takes_nothing = False
    most = 0
    while not all(judge.answers[one].is_whole for one in streams):
        judge.spoken.step()
        sizes = [len(judge.answers[one].body) for one in streams]
        most = max(most, max(sizes) - min(sizes))
    assert most <= 320 << 10, "what one may add at first, while no other waits, and its share"


def test_a_silent_client_loses_its_stream_and_not_the_others() -> None:
    judge = Judge(window=1000)
    judge.reads = False
    slow = judge.ask(get("/100000"))
    judge.spoken.settle()
    judge.spoken.pass_time(30.0)
    assert judge.answers[slow].reset is None
    judge.spoken.pass_time(31.0)
    judge.spoken.settle()
    assert judge.answers[slow].reset == ErrorCode.INTERNAL_ERROR
    (answered,) = judge.all_of([judge.ask(get("/900"))])
    assert answered.body == made(900)


def test_a_client_that_reads_nothing_loses_its_connection() -> None:
    judge = Judge()
    judge.spoken.settle()
    judge.spoken.wire.takes_nothing = True
    judge.ask(get("/100000"))
    judge.spoken.settle()
    judge.spoken.pass_time(59.0)
    assert judge.spoken.connection.is_open
    judge.spoken.pass_time(2.0)
    assert judge.spoken.wire.is_closed
    assert not judge.spoken.loop.connections


def test_a_client_that_asks_on_and_reads_nothing_loses_its_connection() -> None:
    client = RawClient()
    client.spoken.wire.takes_nothing = True
    for _ in range(59):
        client.send(frame(6, 0, 0, bytes(8)) * 20)
        client.spoken.pass_time(1.0)
    assert client.spoken.connection.is_open
    client.send(frame(6, 0, 0, bytes(8)))
    client.spoken.pass_time(2.0)
    assert client.spoken.wire.is_closed


def test_answers_to_frames_do_not_gather_without_end() -> None:
    """A client that takes a byte now and then is not silent."""
    client = RawClient()
    for _ in range(300):
        client.spoken.wire.takes_nothing = True
        client.send(frame(6, 0, 0, bytes(8)) * 150)
        client.spoken.pass_time(1.0)
        if not client.spoken.connection.is_open:
            break
        client.spoken.wire.takes_bytes(1)
        client.spoken.settle()
    assert client.spoken.wire.is_closed
    assert client.spoken.wire.sent < 1000


def test_an_idle_connection_is_told_that_it_ends() -> None:
    judge = Judge()
    judge.all_of([judge.ask(get("/1"))])
    judge.spoken.pass_time(74.0)
    assert judge.goaway is None
    judge.spoken.pass_time(2.0)
    assert judge.goaway == ErrorCode.NO_ERROR
    assert judge.spoken.wire.is_ended


def test_pings_keep_no_connection_that_is_not_used() -> None:
    client = RawClient()
    for _ in range(80):
        client.send(frame(6, 0, 0, bytes(8)))
        client.spoken.pass_time(1.0)
    assert [code for code, _last in client.goaways] == [ErrorCode.NO_ERROR]


def test_a_frame_that_drips_is_given_up() -> None:
    client = RawClient()
    head = frame(1, 5, 1, client.block(get("/10")) * 10)
    for at in range(len(head)):
        client.send(head[at : at + 1])
        client.spoken.pass_time(3.0)
    assert [code for code, _last in client.goaways] == [ErrorCode.NO_ERROR]


def test_half_a_frame_is_not_waited_for_without_end() -> None:
    judge = Judge()
    judge.spoken.settle()
    judge.spoken.wire.coming += b"\x00\x00\x10\x01"
    judge.spoken.settle()
    judge.spoken.pass_time(61.0)
    assert judge.goaway == ErrorCode.NO_ERROR


def test_what_has_begun_is_finished_as_the_worker_stops() -> None:
    client = RawClient(settings=(4 << 32 | 1000).to_bytes(6, "big"))
    client.ask(1, get("/3000"))
    client.spoken.loop.stop()
    client.spoken.settle()
    assert client.goaways == [(ErrorCode.NO_ERROR, (1 << 31) - 1)]
    client.ask(3, get("/10"))  # which was under way
    assert client.body(3) == made(10)
    client.spoken.pass_time(1.5)
    assert client.goaways[1:] == [(ErrorCode.NO_ERROR, 3)]
    client.ask(5, get("/10"))
    assert not [one for one in client.sent if one.stream == 5]
    client.send(frame(8, 0, 1, (5000).to_bytes(4, "big")))
    assert client.body(1) == made(3000)
    assert client.spoken.wire.is_ended, "and then the connection ends"


def test_a_client_that_leaves_gets_what_it_has_asked_for() -> None:
    judge = Judge(window=1000)
    stream = judge.ask(get("/500"))
    judge.spoken.wire.coming += b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)  # GOAWAY
    (answered,) = judge.all_of([stream])
    assert answered.body == made(500)
    judge.spoken.settle()
    assert judge.spoken.wire.is_ended


def test_a_client_that_has_gone_leaves_nothing() -> None:
    judge = Judge(window=1000)
    judge.reads = False
    for _ in range(10):
        judge.ask(get("/100000"))
    judge.spoken.settle()
    assert len(judge.spoken.loop.connections) == 11
    assert judge.spoken.loop.clients == 1
    judge.spoken.wire.is_ended = True
    judge.spoken.settle()
    assert judge.spoken.wire.is_closed
    assert (dict(judge.spoken.loop.connections), judge.spoken.loop.clients) == ({}, 0)


def test_a_reset_ends_one_stream() -> None:
    judge = Judge(window=1000)
    judge.reads = False
    first, second = judge.ask(get("/3000")), judge.ask(get("/3000"))
    judge.spoken.settle()
    judge.h2.reset_stream(first, ErrorCode.CANCEL)
    judge.reads = True
    judge.h2.increment_flow_control_window(5000, second)
    judge.flush()
    judge.spoken.settle()
    assert judge.answers[second].is_whole
    assert len(judge.answers[first].body) == 1000
    assert Counter(judge.spoken.loop.connections.values()) == {judge.spoken.connection: 1}
