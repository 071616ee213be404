"""An answer from memory is what the ordinary way gives, and depends on nothing else than that does."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import Front
from origin import Origin
from raw import Conversation, request

from pyproxycache.front.memory.memory import DECIDING_FIELDS
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.well_formed import LOOK_ALIKES
from pyproxycache.messages import Headers
from pyproxycache.options import LimitOptions
from pyproxycache.outcome import Outcome, Result
from pyproxycache.steps import finished

WEEK = "max-age=604800"
RESOURCES: dict[str, dict[str, Any]] = {
    "/plain": {"body": b"plain", "etag": '"1"'},
    "/empty": {"body": b""},
    "/dated": {"body": b"0123456789", "last_modified": 1_500_000_000.0},
    "/large": {"body": b"0123456789" * 40_000, "etag": '"2"'},
    "/kept": {"body": b"0123456789" * 3000},
    "/varied": {"body": b"varied", "headers": [("Vary", "Accept-Encoding, X-Kind")]},
    "/gone": {"body": b"gone", "status": 404},
    "/moved": {"body": b"", "status": 301, "headers": [("Location", "/plain")]},
    "/cached-before": {
        "body": b"up",
        "headers": [("Age", "100"), ("Cache-Status", "up; hit; ttl=77"), ("X", "%d ; hit; ttl=3;")],
    },
    "/search?a=1&b=2": {"body": b"search", "headers": [("No-Vary-Search", "key-order")]},
    "/cookie": {"body": b"cookie", "headers": [("Content-Type", "text/html; charset=x")]},
}
VALUES = {
    "range": ["bytes=0-2", "bytes=2-", "bytes=0-0,2-3", "bytes=99999999-", "nonsense"],
    "if-range": ['"1"', '"2"', '"other"'],
    "if-none-match": ['"1"', 'W/"2"', "*", '"other"'],
    "if-modified-since": ["Fri, 14 Jul 2017 02:40:00 GMT", "Fri, 14 Jul 2006 02:40:00 GMT", "x"],
    "if-unmodified-since": ["Fri, 14 Jul 2017 02:40:00 GMT"],
    "if-match": ['"1"'],
    "cache-control": ["max-age=0", "max-age=10000", "no-store", "only-if-cached", "min-fresh=999999", "x"],
    "pragma": ["no-cache"],
    "connection": ["close", "keep-alive", "x-kind", "upgrade"],
    "upgrade": ["websocket", "h2c"],
    "expect": ["100-continue"],
    "te": ["trailers"],
    "max-forwards": ["0", "1"],
    "authorization": ["Basic eDp5"],
    "accept-encoding": ["gzip", "gzip;q=0.5, br", "identity"],
    "x-kind": ["a", "b"],
    "content-length": ["0"],
    "content-encoding": ["gzip"],
    "accept": ["*/*", "text/html"],
    "accept-language": ["de"],
    "cookie": ["a=b"],
    "user-agent": ["agent/1", "agent/2 (x)"],
    "referer": ["http://r.example/?q"],
    "prefer": ["respond-async"],
    "want-repr-digest": ["sha-256=10"],
    "want-content-digest": ["sha-256=10"],
    "x-forwarded-proto": ["https"],
    "x-forwarded-for": ["192.0.2.1"],
    "forwarded": ["for=192.0.2.1"],
    "cdn-cache-control": ["no-cache"],
    "keep-alive": ["timeout=1"],
    "proxy-connection": ["close"],
    "origin": ["http://elsewhere.example"],
    "priority": ["u=1"],
    "early-data": ["1"],
    "sec-fetch-mode": ["navigate"],
    "a-im": ["vcdiff"],
    "cache-status": ["x; hit; ttl=5"],
    "age": ["5"],
    "date": ["Fri, 14 Jul 2017 02:40:00 GMT"],
    "vary": ["accept"],
    "host-2": ["x"],
}
FIELDS = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for path, options in RESOURCES.items():
            running.put(path, **{"cache_control": WEEK, **options})
        yield running


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Front]]:
    """Two over one cache: one that has a memory, and one that has none."""
    folder = tmp_path_factory.mktemp("cache")
    patient = LimitOptions(half_closed=60.0)  # clients send all and close, while other work may hold us up
    with Front(folder, limits=patient) as with_memory, Front(folder, memory=0, limits=patient) as without:
        yield with_memory, without


def exchange(front: Front, raw: bytes) -> tuple[bytes, Outcome]:
    """All that comes on a connection of its own, and what was told of it."""
    before = len(front.outcomes)
    with Conversation(front.address) as client:
        client.send(raw).finish()
        data = client.rest()
    (outcome,) = front.told(before, 1)
    return data, outcome


_CHANGING = re.compile(rb"(?<=\r\nAge: )\d+|(?<=; ttl=)-?\d+(?=; key)|(?<=boundary=)[0-9a-f]{32}")


def lasting(data: bytes) -> bytes:
    """Without what changes by the second, or is drawn by lot."""
    found = re.search(rb"boundary=([0-9a-f]{32})", data)
    if found is not None:
        data = data.replace(found[1], b"0" * 32)
    # The line of an Age that the origin sent moves once it has another value.
    head, end, body = _CHANGING.sub(b"*", data).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    return b"\r\n".join(sorted(lines, key=b"Age: *".__eq__)) + end + body


def facts(outcome: Outcome) -> dict[str, Any]:
    """What is told, without the times, and without what only some logs tell."""
    names = set(Outcome.__slots__) - {
        "started",
        "begun",
        "seconds",
        "ttl",
        "head_bytes",
        "user_agent",
        "referer",
    }
    return {name: getattr(outcome, name) for name in names}


def stored_all(front: Front, origin: Origin) -> None:
    """Whatever another test has changed, it is in the store again."""
    for path in RESOURCES:
        for fields in ((), ("Accept-Encoding: gzip",), ("X-Kind: a",)):
            exchange(front, request(f"GET {origin.url(path)}", *fields))


heads = st.tuples(
    st.sampled_from(sorted(RESOURCES)),
    st.sampled_from(["1.1", "1.1", "1.0"]),
    st.lists(st.sampled_from(FIELDS), max_size=3, unique=True),
    st.lists(st.sampled_from(FIELDS), max_size=3, unique=True),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heads)
def test_memory_gives_what_the_ordinary_way_gives(
    fronts: tuple[Front, Front], origin: Origin, drawn: tuple[Any, ...]
) -> None:
    """Byte for byte, whatever else the head has than that of the request the answer was learned by."""
    path, version, fields, further = drawn
    with_memory, without = fronts
    line = f"GET {origin.url(path)} HTTP/{version}"
    learned = request(line, *(f"{name}: {value}" for name, value in fields))
    other = request(line, *(f"{name}: {value}" for name, value in (*fields, *further)))
    if not with_memory.is_filled:
        stored_all(with_memory, origin)
        with_memory.is_filled = True
    for raw in (learned, learned, learned, other, other):
        ours, told = exchange(with_memory, raw)
        theirs, theirs_told = exchange(without, raw)
        assert told.status == theirs_told.status, raw
        if told.result is Result.HIT:
            assert theirs_told.result is Result.HIT, raw
            assert lasting(ours) == lasting(theirs), raw
            assert facts(told) == facts(theirs_told), raw
        assert told.head_bytes == ours.index(b"\r\n\r\n") + 4
    assert told.bytes_sent == len(ours) - told.head_bytes


@pytest.mark.parametrize("path", sorted(RESOURCES))
def test_each_of_them_comes_from_memory(fronts: tuple[Front, Front], origin: Origin, path: str) -> None:
    """Or the comparison would compare nothing."""
    front, _ = fronts
    raw = request(f"GET {origin.url(path)}", "X-Test: memory")
    for _ in range(3):
        exchange(front, raw)
    other = request(f"GET {origin.url(path)}", "X-Test: other")
    repeated = front.repeated
    assert exchange(front, other)[1].result is Result.HIT
    assert front.repeated == repeated + 1


# What the ordinary way looks at.


class Recorder(Headers):
    """A request's fields that note which of them were looked at by name."""

    __slots__ = ()
    looked_at: ClassVar[set[str]] = set()

    def get(self, name: str) -> str | None:
        self.looked_at.add(name.lower())
        return super().get(name)

    def lines(self, name: str) -> tuple[str, ...]:
        self.looked_at.add(name.lower())
        return super().lines(name)

    def __contains__(self, name: str) -> bool:
        self.looked_at.add(name.lower())
        return super().__contains__(name)

    def among(self, names: frozenset[str]) -> frozenset[str]:
        self.looked_at.update(names)
        return super().among(names)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        self.looked_at.add("(all)")
        return super().__iter__()

    def names(self) -> frozenset[str]:
        self.looked_at.add("(all)")
        return super().names()


class Nothing:
    def read(self, _size: int) -> bytes:
        return b""


def hits(front: Front, origin: Origin) -> Iterator[tuple[str, ...]]:
    """Drives requests of all kinds through the application; gives the Vary of what memory may keep."""
    for path, options in RESOURCES.items():
        url = origin.url(path)
        host = ("Host", url.split("/")[2])
        varies = dict(options.get("headers", ())).get("Vary", "").lower().split(", ")
        for field in (None, *FIELDS):
            fields = (host,) if field is None else (host, (field[0].title(), field[1]))
            Recorder.looked_at.clear()
            received = RawRequest("GET", url, (1, 1), Recorder(fields), "127.0.0.1", Nothing())
            answer = finished(front.parts.application.answer(received))
            if answer.outcome.result is Result.HIT and answer.response.reuse_terms is not None:
                yield tuple(varies)
            answer.close()


def test_nothing_else_than_what_decides_is_looked_at(
    fronts: tuple[Front, Front], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a repeatable answer was made of is in DECIDING_FIELDS or in Vary."""
    front, _ = fronts
    stored_all(front, origin)
    received = RawRequest.field

    def field(self: RawRequest, name: str) -> str:
        Recorder.looked_at.add(name)
        return received(self, name)

    monkeypatch.setattr(RawRequest, "field", field)
    seen: set[str] = set()
    count = 0
    for varies in hits(front, origin):
        count += 1
        seen |= Recorder.looked_at
        told_alone = {"referer", "user-agent"}  # only in the log, and there each has its own
        looked_at = Recorder.looked_at - told_alone - set(LOOK_ALIKES)  # which no simple head has
        assert looked_at - DECIDING_FIELDS - set(varies) == set()
    assert count > len(RESOURCES) * len(VALUES) / 2
    # It is the fields that are recorded, and not nothing.
    assert {"host", "range", "cache-control", "accept-encoding", "if-none-match"} <= seen


# Where something goes wrong.


def test_a_hit_that_cannot_be_kept_is_served_all_the_same(
    fronts: tuple[Front, Front], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    front, _ = fronts
    raw = request(f"GET {origin.url('/large')}?no-descriptor")
    exchange(front, raw)

    def none_left(_fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", none_left)
    data, outcome = exchange(front, raw)
    assert (outcome.status, outcome.bytes_sent, len(data) > 400_000) == (200, 400_000, True)


# One after the other on one connection.


def several(front: Front, raw: list[bytes], cut: Callable[[bytes], list[bytes]]) -> bytes:
    with Conversation(front.address) as client:
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in cut(b"".join(raw)):
            client.send(piece)
        return client.finish().rest()


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 1 << 20])
def test_many_requests_at_once_are_answered_in_order(
    fronts: tuple[Front, Front], origin: Origin, size: int
) -> None:
    """Hits and misses, with bodies that nobody reads in between."""
    front, without = fronts
    lines = []
    for number in range(6):
        lines += [
            request(f"GET {origin.url('/plain')}"),
            request(f"GET {origin.url('/plain')}", f"User-Agent: {number}"),
            request(f"POST /nowhere?{number}", "Content-Length: 5", body=b"GET /"),
            request(f"GET {origin.url('/large')}", "Range: bytes=5-30"),
            request(f"GET {origin.url('/plain')}?{size}-{number}"),
            request(f"HEAD {origin.url('/plain')}"),
        ]
    stored_all(front, origin)

    def cut(data: bytes) -> list[bytes]:
        return [data[start : start + size] for start in range(0, len(data), size)]

    expected = b"".join(exchange(without, line)[0] for line in lines)
    # The first of them to ask for it says so.
    first = re.compile(rb"(?<=\r\nCache-Status: pyproxycache-)[^\r]*|\r\n(?:Age|Date): [^\r]*(?=\r)")
    before = len(front.outcomes)
    ours = several(front, lines, cut)
    assert first.sub(b"", ours) == first.sub(b"", expected)
    front.told(before, len(lines))


def test_a_body_that_looks_like_a_request_is_none(fronts: tuple[Front, Front], origin: Origin) -> None:
    """It came in a packet of its own, and was of a request whose body nobody read."""
    front, _ = fronts
    head, before = request(f"GET {origin.url('/plain')}"), len(front.outcomes)
    with Conversation(front.address) as client:
        for _ in range(3):
            client.send(head).reply()
        for _ in range(2):
            reply = client.send(request("POST /nowhere", f"Content-Length: {len(head)}")).reply()
            assert (reply.status, reply.get("Connection")) == (404, "keep-alive")
            client.send(head)
            assert client.send(request("GET /api/v1/health/")).reply().body == b"ok"
    front.told(before, 7)


@pytest.mark.parametrize("field", ["Connection: close", "connection: Close", "CONNECTION: x, close"])
def test_who_wants_the_connection_to_end_is_obeyed(
    fronts: tuple[Front, Front], origin: Origin, field: str
) -> None:
    origin.put("/end", b"body", cache_control="max-age=100")
    for front in fronts:
        for method in ("GET", "GET", "POST"):
            with Conversation(front.address) as client:
                client.send(request(f"{method} {origin.url('/end')}", field))
                assert client.reply().body == b"body"
                assert client.rest() == b""


def test_a_client_that_ends_behind_its_request_is_let_go(
    fronts: tuple[Front, Front], origin: Origin
) -> None:
    """The end may come with the last bytes, and no event of its own."""
    front, _ = fronts
    head, before = request(f"GET {origin.url('/plain')}"), len(front.outcomes)
    for raw in (head, request(f"GET {origin.url('/plain')}?ends"), head[:-5]):
        with Conversation(front.address) as client:
            client.send(head).reply()
            client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            client.send(raw).finish()
            assert client.rest().startswith(b"" if raw == head[:-5] else b"HTTP/1.1 200")
    front.told(before, 5)


@pytest.mark.parametrize("path", ["/kept", "/large"])
def test_an_answer_that_is_taken_in_parts_is_whole(
    fronts: tuple[Front, Front], origin: Origin, path: str
) -> None:
    """Whatever number of digits its Age and time to live have."""
    front, without = fronts
    stored_all(front, origin)
    head = request(f"GET {origin.url(path)}")
    expected, outcome = exchange(without, head)
    exchange(front, head)
    count = (12 << 20) // outcome.bytes_sent
    before = len(front.outcomes)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        client.settimeout(20)
        client.connect(front.address)
        client.sendall(head * count)
        with Conversation(front.address) as other:  # whose answer comes when the first takes no more
            assert other.send(request("GET /api/v1/health/")).reply().body == b"ok"
        client.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert _CHANGING.sub(b"", data) == _CHANGING.sub(b"", expected) * count
    told = front.told(before, count + 1)
    ours = [one for one in told if one.result is Result.HIT]
    assert sum(one.bytes_sent + one.head_bytes for one in ours) == len(data)


def test_who_sends_without_end_is_not_all_there_is_to_do(
    fronts: tuple[Front, Front], origin: Origin
) -> None:
    """Neither with requests, nor with a body that nobody wants, on a connection that is to be closed."""
    front, _ = fronts
    head = request(f"GET {origin.url('/plain')}")
    exchange(front, head)
    unwanted = request("POST /nowhere", "Content-Length: 1000000000000")
    for beginning, flood in ((head, head * 500), (unwanted, b"x" * 100_000)):
        ended = threading.Event()
        before = len(front.outcomes)

        def send(sock: socket.socket, beginning: bytes, flood: bytes, ended: threading.Event) -> None:
            with contextlib.suppress(OSError):
                sock.sendall(beginning)
                while not ended.is_set():
                    sock.sendall(flood)

        def take(sock: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while sock.recv(1 << 20):
                    pass

        with socket.create_connection(front.address) as sock:
            threads = [
                threading.Thread(target=send, args=(sock, beginning, flood, ended)),
                threading.Thread(target=take, args=(sock,)),
            ]
            for thread in threads:
                thread.start()
            front.told(before, 1, exactly=False)
            for _ in range(20):
                with Conversation(front.address) as client:
                    assert client.send(head).reply().body == b"plain"
            ended.set()
            sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
