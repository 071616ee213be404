"""The tests' own tools: the origin misbehaves as told, and clients tell right bodies from wrong ones."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from harness import fetch
from load import Download, LoadProcess
from origin import BLOCK, Asked, Generated, Origin, Resource

BODY = bytes(range(256)) * 40
ETAG = '"v1"'
MODIFIED = "Tue, 01 Apr 2025 10:00:00 GMT"


@pytest.mark.parametrize(
    ("start", "count"),
    [(0, 10), (5, 30), (BLOCK - 3, 6), (BLOCK + 2, 20), (0, 2_500_000), (2_499_990, 100), (2_500_000, 1)],
)
def test_generated_content_has_random_access(start: int, count: int) -> None:
    content = Generated(2_500_000, seed=3)
    whole = content.slice(0, content.size)
    part = content.slice(start, count)
    assert len(whole) == content.size
    assert part == whole[start : start + count]
    assert content.startswith(part, start)
    assert not part or not content.startswith(part[:-1] + bytes([part[-1] ^ 1]), start)
    assert not content.startswith(whole + b"x", 0)


def test_generated_content_tells_blocks_and_seeds_apart() -> None:
    content = Generated(3 << 20, seed=3)
    assert not content.startswith(content.slice(0, 1 << 20), 1 << 20)
    assert Generated(3 << 20, seed=4).sha256() != content.sha256()


@pytest.mark.parametrize(
    ("headers", "status", "body", "content_range"),
    [
        ({}, 200, BODY, None),
        ({"Range": "bytes=10-19"}, 206, BODY[10:20], f"bytes 10-19/{len(BODY)}"),
        ({"Range": "bytes=10000-"}, 206, BODY[10000:], f"bytes 10000-{len(BODY) - 1}/{len(BODY)}"),
        ({"Range": "bytes=-5"}, 206, BODY[-5:], f"bytes {len(BODY) - 5}-{len(BODY) - 1}/{len(BODY)}"),
        ({"Range": "bytes=10-99999"}, 206, BODY[10:], f"bytes 10-{len(BODY) - 1}/{len(BODY)}"),
        ({"Range": "bytes=99999-"}, 416, b"", f"bytes */{len(BODY)}"),
        ({"Range": "bytes=1-2,5-6"}, 200, BODY, None),
        ({"Range": "lines=1-2"}, 200, BODY, None),
        ({"Range": "bytes=0-0", "If-Range": ETAG}, 206, BODY[:1], f"bytes 0-0/{len(BODY)}"),
        ({"Range": "bytes=0-0", "If-Range": MODIFIED}, 206, BODY[:1], f"bytes 0-0/{len(BODY)}"),
        ({"Range": "bytes=0-0", "If-Range": '"v2"'}, 200, BODY, None),
        ({"Range": "bytes=0-0", "If-Range": f"W/{ETAG}"}, 200, BODY, None),
        ({"If-None-Match": ETAG}, 304, b"", None),
        ({"If-None-Match": f'"v0", W/{ETAG}'}, 304, b"", None),
        ({"If-None-Match": "*"}, 304, b"", None),
        ({"If-None-Match": '"v2"', "If-Modified-Since": MODIFIED}, 200, BODY, None),
        ({"If-Modified-Since": MODIFIED}, 304, b"", None),
        ({"If-Modified-Since": "Tue, 01 Apr 2025 09:59:59 GMT"}, 200, BODY, None),
    ],
)
def test_conditions_and_ranges(
    origin: Origin, headers: dict[str, str], status: int, body: bytes, content_range: str | None
) -> None:
    origin.put("/a", BODY, etag=ETAG, last_modified=MODIFIED, cache_control="max-age=60")
    reply = fetch(None, origin.url("/a"), headers.items())
    assert (reply.status, reply.body, reply.get("Content-Range")) == (status, body, content_range)
    assert reply.complete
    assert reply.get("Date") is not None
    assert (reply.get("ETag"), reply.get("Cache-Control")) == (ETAG, "max-age=60")


def test_head_has_the_fields_and_no_body(origin: Origin) -> None:
    origin.put("/a", BODY)
    reply = fetch(None, origin.url("/a"), method="HEAD")
    assert (reply.status, reply.get("Content-Length"), reply.body) == (200, str(len(BODY)), b"")


@pytest.mark.parametrize(
    ("options", "complete", "body"),
    [
        ({}, True, BODY),
        ({"chunked": True}, True, BODY),
        ({"no_length": True}, True, BODY),
        ({"last_chunk_missing": True}, False, BODY),
        ({"lie_length": 5}, False, BODY),
        ({"lie_length": -5}, True, BODY[:-5]),
        ({"break_at": 0.5}, False, BODY[:5120]),
        ({"break_at": 100}, False, BODY[:100]),
        ({"break_at": 0}, False, b""),
        ({"break_at": 0.5, "chunked": True}, False, BODY[:5120]),
        ({"head_delay": 0.01, "status": 404, "headers": [("X-Odd", "1")]}, True, BODY),
    ],
)
def test_framing_and_its_breaches(
    origin: Origin, options: dict[str, Any], complete: bool, body: bytes
) -> None:
    origin.put("/a", BODY, **options)
    reply = fetch(None, origin.url("/a"))
    assert (reply.complete, reply.body) == (complete, body)
    assert reply.status == options.get("status", 200)
    assert reply.get("X-Odd") == ("1" if "headers" in options else None)


def test_cuts_are_taken_in_order_at_places_in_the_whole(origin: Origin) -> None:
    origin.put("/a", BODY, break_at=[0.25, None, 0.5, 0.25])
    cold = [fetch(None, origin.url("/a")).body for _ in range(2)]
    resumed = [fetch(None, origin.url("/a"), [("Range", "bytes=2560-")]).body for _ in range(3)]
    assert cold == [BODY[:2560], BODY]
    assert resumed == [BODY[2560:5120], b"", BODY[2560:]]


def test_reset_is_seen_as_one(origin: Origin) -> None:
    origin.put("/a", BODY, break_at=0, reset=True)
    with Download(None, origin.url("/a")) as download, pytest.raises(ConnectionResetError):
        download.take(1)


def test_hanging_origin_times_the_client_out(origin: Origin) -> None:
    origin.put("/a", BODY, hang_at=[100])
    download = Download(None, origin.url("/a"), timeout=0.05).run()
    assert (download.received, download.complete, download.error) == (100, False, "TimeoutError: timed out")
    assert fetch(None, origin.url("/a")).body == BODY


def test_gate_holds_a_body_half_way(origin: Origin) -> None:
    content = Generated(1 << 20)
    origin.put("/a", content)
    gate = origin.gate("/a", at=0.5)
    with Download(None, origin.url("/a"), expected=content) as download:
        gate.wait_reached()
        assert download.take(1 << 19) == 1 << 19
        assert not download.complete
        gate.open()
        download.take(1 << 20)
    assert (download.received, download.complete, download.correct) == (1 << 20, True, True)


def test_gate_before_the_head(origin: Origin) -> None:
    origin.put("/a", BODY)
    gate = origin.gate("/a")
    download = Download(None, origin.url("/a")).start()
    gate.wait_reached()
    assert download.status == 0
    gate.open()
    assert download.join().received == len(BODY)


def test_requests_are_recorded(origin: Origin) -> None:
    origin.put("/a", BODY)
    fetch(None, origin.url("/a?x=1"), [("X-One", "1")])
    fetch(None, origin.url("/b"), method="POST", body=b"sent")
    fetch(("127.0.0.1", origin.port), "http://elsewhere.test/a")
    assert [(asked.method, asked.target, asked.body) for asked in origin.requests] == [
        ("GET", "/a?x=1", b""),
        ("POST", "/b", b"sent"),
        ("GET", "http://elsewhere.test/a", b""),
    ]
    assert origin.requests[0].get("x-one") == "1"
    assert (origin.count("/a"), origin.count("/b"), origin.accepted) == (2, 1, 3)
    origin.forget()
    assert origin.count("/a") == 0
    with pytest.raises(TimeoutError):
        origin.wait_for("/a", timeout=0.01)


def test_chunked_request_and_a_connection_that_is_kept(origin: Origin) -> None:
    with socket.create_connection(("127.0.0.1", origin.port), 10) as connection:
        connection.sendall(
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        origin.wait_for("/b")
    assert [asked.body for asked in origin.requests] == [b"abcde", b""]
    assert origin.accepted == 1


def test_handler_answers_the_odd_case(origin: Origin) -> None:
    def handler(asked: Asked) -> Resource | bytes:
        return b"not HTTP\r\n\r\n" if asked.get("X-Raw") else Resource(asked.target.encode(), status=201)

    origin.put("/a", handler=handler)
    reply = fetch(None, origin.url("/a?b"))
    assert (reply.status, reply.body) == (201, b"/a?b")
    with pytest.raises(ValueError, match="HTTP"):
        fetch(None, origin.url("/a"), [("X-Raw", "1")])


@pytest.mark.parametrize("shared", [False, True])
def test_rate_is_per_response_or_shared(shared: bool) -> None:
    content = Generated(200_000)
    with Origin(rate=1e6 if shared else None) as origin:
        origin.put("/a", content, rate=None if shared else 1e6)
        started = time.monotonic()
        downloads = [Download(None, origin.url("/a"), expected=content).start() for _ in range(2)]
        assert all(download.join().correct for download in downloads)
        # The last of the steps is waited for only after it was sent, and the clients do not see that.
        assert time.monotonic() - started > (0.38 if shared else 0.18)
        assert all(download.seconds > 0.18 for download in downloads)


def test_stopped_origin_refuses_and_comes_back_on_its_port(origin: Origin) -> None:
    origin.put("/a", BODY, hang_at=10)
    with Download(None, origin.url("/a")) as download:
        origin.wait_for("/a")
        origin.stop()
        with pytest.raises(ConnectionError):
            download.take(len(BODY))
    with pytest.raises(ConnectionRefusedError):
        fetch(None, origin.url("/a"))
    origin.start()
    origin.put("/a", BODY)
    assert fetch(None, origin.url("/a")).body == BODY


def test_ipv6() -> None:
    with Origin("::1") as origin:
        origin.put("/a", BODY)
        assert fetch(None, origin.url("/a")).body == BODY


def test_load_against_an_origin_of_its_own_process(origin_process: Origin, tmp_path: Path) -> None:
    content = Generated(3 << 20, seed=9)
    origin_process.put("/a", content, etag=ETAG)
    origin_process.put("/b", BODY)
    origin_process.put("/wrong", Generated(3 << 20, seed=8))
    gate = origin_process.gate("/a", at=0.5)
    load = LoadProcess(None, [origin_process.url("/a")], clients=4, expected=content)
    origin_process.wait_for("/a", 4)
    gate.wait_reached()
    gate.open()
    right = load.result()
    assert right.ok
    assert [client.bytes for client in right.clients] == [content.size] * 4
    assert 0 < right.median_ttfb <= right.seconds
    (tmp_path / "body").write_bytes(BODY)
    assert LoadProcess(None, [origin_process.url("/b")], 1, tmp_path / "body").result().ok
    assert not LoadProcess(None, [origin_process.url("/wrong")], 1, content).result().ok
    assert [asked.method for asked in origin_process.requests] == ["GET"] * 6
    assert origin_process.count("/a") == 4


@pytest.mark.parametrize(
    "options", [{"break_at": 0.5}, {"lie_length": 9}, {"lie_length": -9}, {"status": 500}, {"hang_at": 0.5}]
)
def test_load_tells_what_went_wrong(origin: Origin, options: dict[str, Any]) -> None:
    content = Generated(1 << 20)
    origin.put("/a", content, **options)
    load = LoadProcess(None, [origin.url("/a")], 2, content, timeout=0.2).result()
    assert not any(client.ok for client in load.clients)
