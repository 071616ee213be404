"""Parts where something goes wrong: origins that fail, change, lie or know no ranges, and slow clients."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from harness import Proxy, Reply, clean_environment
from origin import Asked, Generated, Origin, Resource
from raw import Conversation, request

from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.options import StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.ports import LeadFlight
from pyproxycache.store.values import End
from pyproxycache.wiring.stored import open_store

MB = 1_000_000
DAY = 86400
DIGITS = b"0123456789"
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}
FRESH_FIELDS = [("ETag", '"v1"'), ("Cache-Control", "max-age=3600")]

MakeProxy = Callable[..., Proxy]


def ranges(origin: Origin, path: str = "/a") -> list[str | None]:
    return [asked.get("Range") for asked in origin.asked(path)]


def part(proxy: Proxy, url: str, wanted: str | None, *headers: tuple[str, str]) -> Reply:
    """A part, or the whole where none is named."""
    return proxy.get(url, [("Range", f"bytes={wanted}"), *headers] if wanted else headers)


def fails(origin: Origin) -> None:
    origin.put("/a", b"down", status=503)


def is_gone(origin: Origin) -> None:
    origin.stop()


@pytest.mark.parametrize("trouble", [fails, is_gone])
class TestStaleParts:
    """They stand in for an origin that fails, as a whole would (RFC 9111 section 4.2.4)."""

    @pytest.mark.parametrize(
        ("stored", "wanted", "status", "body"),
        [
            pytest.param(["0-4", "5-9"], None, 200, DIGITS, id="whole"),
            pytest.param(["0-4", "5-9"], "3-7", 206, b"34567", id="across"),
            pytest.param(["0-4", "5-9"], "1-2", 206, b"12", id="within-the-older"),
            pytest.param(["0-4"], "1-2", 206, b"12", id="within"),
            pytest.param(["0-9"], None, 200, DIGITS, id="a-part-of-everything"),
        ],
    )
    def test_what_they_have(
        self,
        origin: Origin,
        proxy: Proxy,
        trouble: Callable[[Origin], None],
        stored: list[str],
        wanted: str | None,
        status: int,
        body: bytes,
    ) -> None:
        origin.put("/a", DIGITS, etag='"v1"', cache_control="max-age=0")
        for one in stored:
            part(proxy, origin.url("/a"), one)
        trouble(origin)
        reply = part(proxy, origin.url("/a"), wanted)
        assert (reply.status, reply.body, reply.complete) == (status, body, True)
        assert reply.get("Content-Range") == (f"bytes {wanted}/10" if wanted else None)

    @pytest.mark.parametrize(
        ("cache_control", "stored", "wanted"),
        [
            pytest.param("max-age=0", ["0-4"], None, id="not-whole"),
            pytest.param("max-age=0", ["0-4"], "3-7", id="not-all-of-it"),
            pytest.param("max-age=0, must-revalidate", ["0-4", "5-9"], None, id="must-revalidate"),
            pytest.param("max-age=0, must-revalidate", ["0-4"], "1-2", id="must-revalidate-part"),
        ],
    )
    def test_what_they_are_no_answer_to(
        self,
        origin: Origin,
        proxy: Proxy,
        trouble: Callable[[Origin], None],
        cache_control: str,
        stored: list[str],
        wanted: str | None,
    ) -> None:
        origin.put("/a", DIGITS, etag='"v1"', cache_control=cache_control)
        for one in stored:
            part(proxy, origin.url("/a"), one)
        trouble(origin)
        assert part(proxy, origin.url("/a"), wanted).status in (502, 503)


SHORT = (
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}\r\nContent-Length: {}\r\n"
    'ETag: "v1"\r\nCache-Control: max-age=600\r\n\r\n'
)


def ends_short(wanted: str, content_range: str, content: bytes, asked: Asked) -> Resource | bytes:
    if asked.get("Range") == f"bytes={wanted}":
        return SHORT.format(content_range, len(content)).encode() + content
    return Resource(DIGITS, **FRESH)


@pytest.mark.parametrize(
    ("wanted", "content_range", "content", "body"),
    [
        pytest.param("0-9", "0-9/10", b"01234", b"01234", id="all"),
        pytest.param("0-9", "0-9/*", b"01234", b"01234", id="all-of-some-length"),
        pytest.param("5-9", "5-9/10", b"56", b"56", id="tail"),
        pytest.param("0-", "0-9/10", b"01234", b"01234", id="from-the-start"),
        pytest.param("2-6", "2-6/10", b"23", b"23456", id="inside-where-the-rest-is-fetched"),
    ],
)
def test_a_part_that_is_shorter_than_it_says_is_no_whole(
    origin: Origin, proxy: Proxy, wanted: str, content_range: str, content: bytes, body: bytes
) -> None:
    origin.put("/a", handler=partial(ends_short, wanted, content_range, content))
    reply = part(proxy, origin.url("/a"), wanted)
    assert (reply.status, reply.body, reply.complete) == (206, body, True)
    assert reply.get("Content-Range") == f"bytes {content_range}"
    for again, status, all_of_it in ((None, 200, DIGITS), ("1-8", 206, DIGITS[1:9])):
        reply = part(proxy, origin.url("/a"), again)
        assert (reply.status, reply.body, reply.complete) == (status, all_of_it, True)


def called_whole(content_range: str, content: bytes, asked: Asked) -> Resource | bytes:
    """A part under the status of the whole, where a part is asked for."""
    if asked.get("Range") is None:
        return Resource(DIGITS, **FRESH, break_at=4 if asked.target == "/broken" else None)
    head = f"HTTP/1.1 200 OK\r\nContent-Range: {content_range}\r\nContent-Length: {len(content)}\r\n"
    return f'{head}ETag: "v1"\r\nCache-Control: max-age=600\r\n\r\n'.encode() + content


@pytest.mark.parametrize(
    ("wanted", "content_range", "content"),
    [
        ("0-3", "bytes 0-3/10", b"0123"),
        ("4-", "bytes 4-9/10", b"456789"),
        ("0-3", "bytes 0-3/*", b"0123"),
    ],
    ids=["begin", "end", "of-some-length"],
)
def test_a_part_that_is_called_whole_is_not_kept_as_that(
    origin: Origin, proxy: Proxy, wanted: str, content_range: str, content: bytes
) -> None:
    origin.put("/a", handler=partial(called_whole, content_range, content))
    first = part(proxy, origin.url("/a"), wanted)
    assert (first.status, first.body, first.get("Content-Range")) == (200, content, content_range)
    assert part(proxy, origin.url("/a"), None).body == DIGITS
    assert part(proxy, origin.url("/a"), wanted).body in (DIGITS[:4], DIGITS[4:])


def test_nor_is_a_broken_body_continued_by_it(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(config={"fetch": {"pause": 0.01, "tries": 3}})
    origin.put("/broken", handler=partial(called_whole, "bytes 4-9/10", b"456789"))
    for _ in range(2):
        reply = proxy.get(origin.url("/broken"))
        assert (reply.body, reply.complete) in ((b"0123", False), (DIGITS, True))
    origin.put("/broken", DIGITS, **FRESH)
    assert proxy.get(origin.url("/broken")).body == DIGITS


class OneAtATime(BaseHTTPRequestHandler):
    """Of an origin that serves one connection, and then the next."""

    protocol_version = "HTTP/1.1"
    size = 16 * MB
    version = 1

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        if wanted and self.headers["If-Range"] in (None, self.tag):
            first, last = (int(number) if number else self.size - 1 for number in wanted[6:].split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{self.size}")
        else:
            first, last = 0, self.size - 1
            self.send_response(200)
        self.send_header("ETag", self.tag)
        self.send_header("Cache-Control", "max-age=0")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(self.content(first, last + 1))

    @property
    def tag(self) -> str:
        return f'"v{self.version}"'

    @classmethod
    def content(cls, start: int, stop: int) -> bytes:
        return bytes([cls.version]) * (stop - start)

    def log_message(self, *_arguments: object) -> None:
        pass


class Quiet(HTTPServer):
    """Says nothing of connections that end early."""

    def handle_error(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def one_at_a_time() -> Iterator[tuple[str, type[OneAtATime]]]:
    """The URL on such an origin, and what it answers with."""

    class Answers(OneAtATime):
        pass

    with Quiet(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a", Answers
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("wanted", [f"0-{12 * MB - 1}", f"{MB}-{14 * MB - 1}", None])
def test_an_object_that_changed_on_an_origin_that_serves_one_at_a_time(
    one_at_a_time: tuple[str, type[OneAtATime]], make_proxy: MakeProxy, wanted: str | None
) -> None:
    url, answers = one_at_a_time
    proxy = make_proxy(config={"fetch": {"silence": "3s", "tries": 1}})
    assert part(proxy, url, f"0-{12 * MB - 1}").status == 206
    answers.version = 2
    reply = part(proxy, url, wanted)
    first, last = map(int, wanted.split("-")) if wanted else (0, answers.size - 1)
    assert (reply.status, reply.complete) == (206 if wanted else 200, True)
    assert reply.body == answers.content(first, last + 1)


@pytest.mark.parametrize(
    "condition",
    ["If-Modified-Since: {old}", "If-Modified-Since: {new}", 'If-None-Match: "v1"', 'If-None-Match: "v0"'],
)
@pytest.mark.parametrize("stored", [["0-4"], ["0-4", "5-9"], ["5-9"]], ids=["first", "both", "last"])
def test_an_object_that_was_touched(
    origin: Origin, proxy: Proxy, stored: list[str], condition: str
) -> None:
    old, new = (time.time() - days * DAY for days in (10, 1))
    origin.put("/a", DIGITS, etag='"v1"', last_modified=old, cache_control="max-age=0")
    for one in stored:
        part(proxy, origin.url("/a"), one)
    origin.put("/a", DIGITS, etag='"v1"', last_modified=new, cache_control="max-age=0")
    origin.put("/b", b"the second answer")
    dates = {"old": formatdate(old, usegmt=True), "new": formatdate(new, usegmt=True)}
    with Conversation(proxy.address) as conversation:
        conversation.send(request(f"GET {origin.url('/a')}", condition.format(**dates)))
        conversation.send(request(f"GET {origin.url('/b')}"))
        reply = conversation.reply()
        assert (reply.status, reply.body) in ((200, DIGITS), (304, b""))
        assert conversation.reply().body == b"the second answer"


class TestNoRanges:
    """An origin that answers a Range with the whole."""

    def test_a_part_far_behind_is_asked_for_once(self, origin: Origin, make_proxy: MakeProxy) -> None:
        body = Generated(4 * MB, seed=41)
        proxy = make_proxy(config={"fetch": {"range_ahead": "1M"}})
        origin.put("/a", body, **FRESH, ranges=False)
        wanted = [("Range", f"bytes={3 * MB}-{3 * MB + 9}")]
        client = proxy.download(origin.url("/a"), wanted, expected=body).run()
        assert client.complete
        assert client.correct
        assert origin.count("/a") == 1
        assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
        assert origin.count("/a") == 1

    def test_while_another_variant_is_on_its_way(self, origin: Origin, make_proxy: MakeProxy) -> None:
        body = Generated(4 * MB, seed=42)
        proxy = make_proxy(config={"fetch": {"range_ahead": "1M"}})
        origin.put("/a", body, **FRESH, ranges=False, headers=[("Vary", "Accept-Language")])
        gate = origin.gate("/a", at=MB)
        german = proxy.download(origin.url("/a"), [("Accept-Language", "de")], expected=body).start()
        gate.wait_reached()
        gate.position = body.size  # the one that is held stays held, others pass
        wanted = [("Range", f"bytes={3 * MB}-{3 * MB + 9}"), ("Accept-Language", "en")]
        english = proxy.download(origin.url("/a"), wanted, expected=body).run()
        asked = origin.count("/a")
        gate.open()
        assert english.complete
        assert english.correct
        assert german.join().correct
        assert asked <= 4


def command(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pyproxycache", *arguments],
        check=True,
        capture_output=True,
        env=clean_environment(),
        timeout=60,
    )


def test_a_slow_client_gets_it_whole_after_a_purge(origin: Origin, proxy: Proxy) -> None:
    body = Generated(20 * MB, seed=43)
    origin.put("/a", body, **FRESH)
    url = origin.url("/a")
    part(proxy, url, f"0-{16 * MB - 1}")
    part(proxy, url, f"{16 * MB}-")
    with Conversation(proxy.address) as client:
        client.send(request(f"GET {url}", "Connection: close"))
        assert client.head().status == 200
        command("purge", url, "--cache-dir", str(proxy.cache_dir))
        command("gc", "--cache-dir", str(proxy.cache_dir))
        assert client.rest() == body.slice(0, body.size)
    assert origin.count("/a") == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_many_clients_with_parts_of_their_own(origin: Origin, make_proxy: MakeProxy, workers: int) -> None:
    body, many = Generated(30 * MB, seed=44), 60
    origin.put("/a", body, **FRESH)
    proxy = make_proxy(workers=workers, threads=64)

    def ask(number: int) -> bool:
        first = number * MB // 2
        reply = part(proxy, origin.url("/a"), f"{first}-{first + 9999}")
        return reply.status == 206 and reply.body == body.slice(first, 10_000)

    with ThreadPoolExecutor(many) as clients:
        assert all(clients.map(ask, range(many)))
        origin.wait_idle()
        origin.forget()
        assert all(clients.map(ask, range(many)))
    assert origin.count("/a") <= 5


def test_a_tail_that_is_reached_on_two_ways_is_fetched_once(origin: Origin, proxy: Proxy) -> None:
    body = Generated(9 * MB, seed=45)
    origin.put("/a", body, **FRESH)
    url = origin.url("/a")
    part(proxy, url, f"0-{MB - 1}")
    part(proxy, url, f"{2 * MB}-{3 * MB - 1}")
    origin.forget()
    gate = origin.gate("/a", at=8 * MB)
    whole = proxy.download(url, expected=body).start()  # the tail is its second gap
    gate.wait_reached()
    rest = proxy.download(url, [("Range", f"bytes={2 * MB}-")], expected=body)  # and here the first
    rest.begun(5 * MB)
    gate.open()
    for client in (whole.join(), rest.run()):
        assert client.complete
        assert client.correct
    assert [wanted and wanted.partition("-")[0] for wanted in ranges(origin)] == [
        f"bytes={MB}",
        f"bytes={3 * MB}",
    ]


def test_a_part_whose_leader_died_at_its_last_byte(origin: Origin, make_proxy: MakeProxy) -> None:
    origin.put("/a", DIGITS, **FRESH)
    url, now = origin.url("/a"), time.time()
    proxy = make_proxy()
    store = open_store(StoreOptions(path=proxy.cache_dir))
    flights = LocalFlights(store.claims, Terms(30.0, 30.0))
    joined = flights.join(FlightKey(url).of_part("bytes=2-5"))
    assert isinstance(joined, LeadFlight)
    fields = Headers([*FRESH_FIELDS, ("Content-Range", "bytes 2-5/10")])
    head = Head(206, "Partial Content", fields)
    joined.writer.begin(Entry(url, head, now, now, peer="127.0.0.1", part=Part(2, 5, 10)), 4)
    joined.writer.file.write(DIGITS[2:6])
    joined.writer.leave_for_successor(End.BROKEN)
    flights.close()
    store.database.close()
    for wanted, status, body in (("2-5", 206, DIGITS[2:6]), (None, 200, DIGITS)):
        reply = part(proxy, url, wanted)
        assert (reply.status, reply.body, reply.complete) == (status, body, True)
    assert "bytes=6-5" not in ranges(origin)
