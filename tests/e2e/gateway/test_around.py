"""What routes do around their requests, by the real server: fields, paths, pages, sizes, maintenance."""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy, Reply
from origin import Origin, Resource
from raw import Conversation, request
from scripted import Scripted
from waiting import until

MakeProxy = Callable[..., Proxy]
CACHED = {"ttl": "1h"}
APP = "https://app.test"


@pytest.fixture
def gateway(make_proxy: MakeProxy, origin: Origin) -> Callable[..., Proxy]:
    """Makes a gateway with one route to the origin, of these options."""

    def make(*, upstream: str = "", others: Any = None, **options: Any) -> Proxy:
        routes = {"/api/": {"upstream": upstream or origin.url("/"), "cache": CACHED, **options}}
        return make_proxy(config={"routes": routes, **(others or {})})

    return make


def test_ids_go_to_the_upstream_the_client_and_the_log(
    gateway: Callable[..., Proxy], origin: Origin, tmp_path: Path
) -> None:
    origin.put("/api/x", b"answer")
    log = tmp_path / "access.log"
    others = {"log": {"access": str(log), "format": "json"}}
    cache = gateway(request_id=True, trace=True, methods=["GET"], others=others)
    taken = cache.get("/api/x", [("X-Request-Id", "mine-1")])
    made = [cache.get("/api/x"), cache.get("/api/x"), cache.get("/api/x", [("X-Request-Id", "a" * 10_000)])]
    refused = cache.get("/api/x", [("X-Request-Id", "mine-2")], method="PUT")
    assert [taken.get("X-Request-Id"), refused.get("X-Request-Id")] == ["mine-1", "mine-2"]
    ids = [reply.get("X-Request-Id") or "" for reply in made]
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    (asked,) = origin.asked("/api/x")
    assert asked.get("X-Request-Id") == "mine-1"
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", asked.get("Traceparent") or "")
    until(lambda: log.exists() and log.read_text().count("\n") == 5)
    lines = [json.loads(line)["request_id"] for line in log.read_text().splitlines()]
    # A line is written once its answer is sent, so that the next request's may come first.
    assert sorted(lines) == sorted(["mine-1", *ids, "mine-2"])


def test_what_the_route_says_is_neither_taken_away_nor_said_otherwise(
    gateway: Callable[..., Proxy], origin: Origin
) -> None:
    """Connection names fields for the gateway alone; upstreams may read any mark in a name as "-"."""
    origin.put("/api/x", b"answer")
    changes = {"set": {"x-api-key": "ours"}, "remove": ["x-debug-mode"], "rename": {"x-old": "x-new"}}
    cache = gateway(request_id=True, trace=True, exclude=True, headers={"request": changes})
    ours = ("X-Api-Key", "X-Request-Id", "Traceparent", "X-New")
    names = (*ours, "X-Debug-Mode", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
    sent = [("Connection", ", ".join((*ours, "X-Mine"))), ("X-Mine", "hop"), ("X_Mine", "stays")]
    sent += [(name.replace("-", mark), "theirs") for name in names for mark in "_.~" if "-" in name]
    assert cache.get("/api/x", [*sent, ("X-Old", "renamed")]).status == 200
    (asked,) = origin.asked("/api/x")
    assert (asked.get("X-Api-Key"), asked.get("X-New")) == ("ours", "renamed")
    assert asked.get("X-Request-Id")
    assert asked.get("Traceparent")
    assert "theirs" not in [value for _name, value in asked.headers]
    assert (asked.get("X-Mine"), asked.get("X_Mine")) == (None, "stays")


@pytest.mark.parametrize("fields", [[], [("Max-Forwards", "0")]])
@pytest.mark.parametrize("method", ["TRACE", "TRACK"])
def test_nobody_is_shown_what_is_added_to_requests(
    gateway: Callable[..., Proxy], origin: Origin, method: str, fields: list[tuple[str, str]]
) -> None:
    origin.put("/api/x", b"answer")
    cache = gateway(headers={"request": {"set": {"x-api-key": "s3cret"}}}, methods=["GET", method])
    reply = cache.get("/api/x", fields, method=method)
    assert (reply.status, reply.get("Allow")) == (405, "GET")
    assert b"s3cret" not in reply.body
    assert origin.requests == []


@pytest.mark.parametrize("kept", [CACHED, {}], ids=["ttl", "by HTTP"])
def test_two_gateways_that_code_know_the_tags_of_both(
    make_proxy: MakeProxy, origin: Origin, kept: dict[str, str]
) -> None:
    fields = [("Content-Type", "text/plain")]
    origin.put("/api/x", b"text " * 1000, etag='"a"', cache_control="max-age=60", headers=fields)
    options = {"cache": kept, "compress": {"codings": ["gzip"]}}
    inner = make_proxy(config={"routes": {"/api/": {"upstream": origin.url("/"), **options}}})
    outer = make_proxy(config={"routes": {"/api/": {"upstream": f"{inner.url}/", **options}}})
    accepted = ("Accept-Encoding", "gzip")
    tag = outer.get("/api/x", [accepted]).get("ETag") or ""
    assert tag.startswith('"a~')
    for name, status in (("If-None-Match", 304), ("If-Match", 200)):
        reply = outer.get("/api/x", [accepted, (name, tag)])
        assert (reply.status, reply.get("ETag")) == (status, tag)
    assert outer.get("/api/x", [("If-None-Match", tag)]).body == b"text " * 1000


def test_interim_answers_are_changed_as_final_ones_are(
    gateway: Callable[..., Proxy], origin: Origin
) -> None:
    fields = "X-Internal: s3cret\r\nAccess-Control-Allow-Origin: *\r\nLink: </api/a.css>\r\n"
    hints = f"HTTP/1.1 103 Early Hints\r\n{fields}\r\nHTTP/1.1 200 OK\r\n{fields}\r\nanswer"
    origin.put("/api/x", handler=lambda _asked: hints.encode())
    changes = {"remove": ["x-internal"], "set": {"x-frame-options": "DENY"}}
    cache = gateway(headers={"response": changes}, cors={"origins": [APP]}, exclude=True)
    with Conversation(cache.address) as client:
        client.send(request("GET /api/x", f"Origin: {APP}", "Connection: close"))
        heads = [client.head(), client.head()]
    assert [head.status for head in heads] == [103, 200]
    for head in heads:
        assert head.get("X-Internal") is None
        assert head.get("Access-Control-Allow-Origin") == APP
        assert (head.get("X-Frame-Options"), head.get("Link")) == ("DENY", "</api/a.css>")


def test_who_sends_content_slowly_takes_none_of_the_upstreams_time(
    gateway: Callable[..., Proxy], origin: Origin
) -> None:
    origin.put("/api/x", handler=lambda asked: Resource(asked.body))
    origin.put("/api/late", b"late", head_delay=5.0)
    cache = gateway(timeout="1s")
    with Conversation(cache.address) as client:
        client.send(request("POST /api/x", "Transfer-Encoding: chunked"))
        for _ in range(5):
            client.send(b"2\r\nab\r\n")
            time.sleep(0.4)
        assert client.send(b"0\r\n\r\n").reply().body == b"ab" * 5
    assert cache.get("/api/late", method="POST", body=b"x").status == 504


def test_fields_are_changed_both_ways(
    gateway: Callable[..., Proxy], origin: Origin, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    origin.put("/api/x", b"answer", headers=[("Server", "old"), ("X-A", "1"), ("Connection", "X-Hop")])
    changes = {
        "request": {
            "set": {"authorization": f"Bearer ${{file:{secret}}}"},
            "remove": ["x-debug"],
            "rename": {"x-key": "x-api-key"},
        },
        "response": {"remove": ["server"], "rename": {"x-a": "x-b"}, "set": {"x-frame-options": "DENY"}},
    }
    cache = gateway(headers=changes)
    sent = [("X-Key", "k"), ("X-Api-Key", "forged"), ("X-Debug", "1"), ("Authorization", "Bearer mine")]
    for _ in range(4):  # from the upstream, the store, and memory
        reply = cache.get("/api/x", sent)
        assert (reply.body, reply.get("Server"), reply.get("X-A")) == (b"answer", None, None)
        assert (reply.get("X-B"), reply.get("X-Frame-Options")) == ("1", "DENY")
    (asked,) = origin.asked("/api/x")
    assert asked.get("Authorization") == "Bearer s3cret"
    assert (asked.get("X-Api-Key"), asked.get("X-Key"), asked.get("X-Debug")) == ("k", None, None)


def test_a_renamed_field_selects_answers_also_in_memory(
    gateway: Callable[..., Proxy], origin: Origin
) -> None:
    """Memory knows heads as they come, and has to tell apart what the upstream tells apart."""
    origin.put("/api/x", b"", handler=lambda asked: origin_answer(asked.get("Authorization")))
    cache = gateway(headers={"request": {"rename": {"x-token": "authorization"}}})
    for token in ("one", "two") * 4:
        assert cache.get("/api/x", [("X-Token", token)]).body == token.encode()
    assert origin.count("/api/x") == 2


def origin_answer(text: str | None) -> bytes:
    body = (text or "").encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def test_paths_are_rewritten_and_references_lead_back(
    gateway: Callable[..., Proxy], origin: Origin
) -> None:
    back = [
        ("Location", origin.url("/base/v2/y?q#f")),
        ("Set-Cookie", "a=b; Path=/base/v2/z"),
        ("Set-Cookie", "c=d; Path=/base/v2"),
        ("Link", "</base/v2/l>; rel=next"),
    ]
    origin.put("/base/v2/x", b"", status=302, headers=back)
    origin.put("/base/v2/items/7.json", b"item")
    rewriting = {
        "strip": "/api",
        "add": "/v2",
        "replace": [{"pattern": r"^/item/(.*)$", "with": r"/items/\1.json"}],
    }
    cache = gateway(upstream=origin.url("/base"), path=rewriting)
    reply = cache.get("/api/x")
    assert reply.get("Location") == "/api/y?q#f"
    assert reply.get("Set-Cookie") == "a=b; Path=/api/z, c=d; Path=/api/"
    assert reply.get("Link") == "</api/l>; rel=next"
    assert cache.get("/%61pi/item/7").body == b"item"
    assert cache.get("/api/item/7", method="PURGE").status == 200
    before = len(origin.requests)
    assert cache.get("/api/item/%2e%2e/%2e%2e/x").status == 400
    assert cache.get("/api/item/a%0d%0aX:%20b").status == 404  # still encoded
    assert len(origin.requests) == before + 1


def test_one_stored_answer_serves_all_pages(gateway: Callable[..., Proxy], origin: Origin) -> None:
    said = [("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")]
    origin.put("/api/x", b"answer", headers=said)
    cache = gateway(methods=["GET", "PUT"], cors={"origins": [APP, "https://b.test"], "credentials": True})
    for page in (APP, "https://b.test", "https://evil.test", None) * 3:
        reply = cache.get("/api/x", [("Origin", page)] if page else [])
        expected = page if page in (APP, "https://b.test") else None
        assert (reply.body, reply.get("Vary")) == (b"answer", "Accept, Origin")
        assert reply.get("Access-Control-Allow-Origin") == expected
        assert reply.get("Access-Control-Allow-Credentials") == (expected and "true")
    (asked,) = origin.asked("/api/x")
    assert asked.get("Origin") is None
    # What is refused tells the page so, or it would see a failed connection.
    refused = cache.get("/api/x", [("Origin", APP)], method="DELETE")
    assert (refused.status, refused.get("Access-Control-Allow-Origin")) == (405, APP)
    wanted = [("Origin", APP), ("Access-Control-Request-Method", "PUT")]
    reply = cache.get("/api/x", wanted, method="OPTIONS")
    assert (reply.status, reply.get("Access-Control-Allow-Methods")) == (204, "GET, PUT")
    assert origin.count("/api/x") == 1


def test_content_is_limited(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/x", b"answer")
    cache = gateway(limit_body=1000, cache={**CACHED, "key": {"body": True}})
    assert cache.get("/api/x", method="POST", body=bytes(1000)).status == 200
    assert cache.get("/api/x", method="POST", body=bytes(1001)).status == 413
    with Conversation(cache.address) as client:
        head = request("POST /api/x", "Transfer-Encoding: chunked")
        piece = b"1f4\r\n" + bytes(500) + b"\r\n"
        client.send(head + 3 * piece)
        assert client.reply().status == 413
    with Conversation(cache.address) as client:
        expecting = request("PUT /api/x", "Expect: 100-continue", "Content-Length: 1001")
        assert client.send(expecting).head().status == 413
    assert cache.get("/api/x", method="PUT", body=bytes(1000)).status == 200
    assert [len(asked.body) for asked in origin.asked("/api/x")] == [1000, 1000]


def test_maintenance(gateway: Callable[..., Proxy], origin: Origin, tmp_path: Path) -> None:
    page = tmp_path / "later.html"
    page.write_text("<p>later</p>")
    origin.put("/api/x", b"answer")
    nested = {"down": {"maintenance": {"file": str(page), "retry_after": "90s"}}}
    cache = gateway(routes=nested, cors={"origins": APP})
    reply = cache.get("/api/down/x", [("Origin", APP)])
    assert (reply.status, reply.body, reply.get("Retry-After")) == (503, b"<p>later</p>", "90")
    assert (reply.get("Content-Type"), reply.get("Cache-Control")) == (
        "text/html; charset=utf-8",
        "no-store",
    )
    assert reply.get("Access-Control-Allow-Origin") == APP
    assert cache.get("/api/down/x", method="HEAD").get("Content-Length") == "12"
    assert cache.get("/api/x").body == b"answer"
    assert origin.count("/api/down/x") == 0


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
AROUND: dict[str, Any] = {
    "path": {"strip": "/api"},
    "cors": {"origins": APP},
    "request_id": True,
    "limit_body": 1000,
    "headers": {"response": {"set": {"x-a": "1"}}},
}


def test_websockets_go_through_a_route(gateway: Callable[..., Proxy]) -> None:
    def echo(connection: Any) -> None:
        connection.sendall(SWITCHING)
        while data := connection.recv(1 << 16):
            connection.sendall(data)

    with Scripted([echo]) as upstream:
        cache = gateway(upstream=str(upstream.url("/")), **AROUND)
        with Conversation(cache.address) as client:
            asking = ("Connection: Upgrade", "Upgrade: websocket", f"Origin: {APP}")
            head = client.send(request("GET /api/chat", *asking)).head()
            assert (head.status, head.get("Upgrade"), head.get("X-A")) == (101, "websocket", "1")
            for said in (b"one", b"more than the route's bodies may have" * 100):
                client.send(said)
                assert b"".join(bytes(piece) for piece in client.wire.exactly(len(said))) == said
    lines = upstream.heads[0].decode().split("\r\n")
    assert lines[0] == "GET /chat HTTP/1.1"
    assert f"Origin: {APP}" in lines


def test_event_streams_go_through_a_route_as_they_come(gateway: Callable[..., Proxy]) -> None:
    def stream(connection: Any) -> None:
        """Sends each event when the client has shown that it got the one before."""
        connection.sendall(EVENTS + b"data: 1\n\n")
        while got.wait(30) and len(events) > 1:
            got.clear()
            connection.sendall(b"data: %d\n\n" % events.pop())

    got, events = threading.Event(), [4, 3, 2]
    with Scripted([stream]) as upstream:
        cache = gateway(upstream=str(upstream.url("/")), **AROUND)
        with Conversation(cache.address) as client:
            head = client.send(request("GET /api/events", "Accept: text/event-stream")).head()
            assert (head.status, head.get("Content-Type")) == (200, "text/event-stream")
            assert head.get("X-A") == "1"
            for number in (1, 2, 3):
                while client.wire.line() != b"data: %d" % number:
                    pass  # lines of the chunks around it
                got.set()


TEXT = b"some text that can be packed\n" * 1000


def unpacked(reply: Reply) -> bytes:
    assert reply.get("Content-Encoding") == "gzip"
    return zlib.decompress(reply.body, wbits=31)


def test_answers_are_coded_for_those_who_want_it(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/x", TEXT, etag='"a"', headers=[("Content-Type", "text/plain")])
    cache = gateway(compress={"codings": "gzip"})
    wanting = ("Accept-Encoding", "gzip")
    for _ in range(3):  # from the upstream, the store, and memory, in turn with plain ones
        coded, plain = cache.get("/api/x", [wanting]), cache.get("/api/x")
        assert (unpacked(coded), plain.body) == (TEXT, TEXT)
        assert coded.get("Vary") == plain.get("Vary") == "Accept-Encoding"
        assert (plain.get("ETag"), plain.get("Accept-Ranges")) == ('"a"', "bytes")
        assert (coded.get("Accept-Ranges"), plain.get("Content-Encoding")) == (None, None)
    tag = coded.get("ETag") or ""
    assert tag.startswith('"a~')
    assert len(coded.body) == int(coded.get("Content-Length") or 0)
    again = cache.get("/api/x", [wanting, ("If-None-Match", tag)])
    assert (again.status, again.get("ETag"), again.get("Vary")) == (304, tag, "Accept-Encoding")
    assert cache.get("/api/x", [("If-None-Match", tag)]).body == TEXT
    # The rest of what was coded is no part of the plain content.
    rest = [wanting, ("Range", "bytes=5-"), ("If-Range", tag)]
    assert unpacked(cache.get("/api/x", rest)) == TEXT
    head = cache.get("/api/x", [wanting], method="HEAD")
    assert (head.get("Content-Encoding"), head.get("ETag"), head.get("Content-Length")) == (
        "gzip",
        tag,
        None,
    )
    assert origin.count("/api/x") == 1
    # A change by the tag that the client was shown.
    assert cache.get("/api/x", [("If-Match", tag)], method="PUT", body=b"x").status == 200
    assert origin.asked("/api/x")[-1].get("If-Match") == '"a"'


def test_many_at_once_get_each_their_coding(gateway: Callable[..., Proxy], origin: Origin) -> None:
    """All of them share one download, coded for some and plain for others."""
    origin.put("/api/x", TEXT * 100, chunked=True, headers=[("Content-Type", "text/plain")])
    gate = origin.gate("/api/x", 0.5)
    cache = gateway(compress={"codings": "gzip"})
    with ThreadPoolExecutor(20) as clients:
        asked = [
            clients.submit(cache.get, "/api/x", [("Accept-Encoding", "gzip")] if number % 2 else [])
            for number in range(20)
        ]
        gate.wait_reached()
        gate.open()
        replies = [one.result() for one in asked]
    assert all(unpacked(reply) == TEXT * 100 for reply in replies[1::2])
    assert all(reply.body == TEXT * 100 for reply in replies[::2])
    assert origin.count("/api/x") == 1


def test_what_the_upstream_has_coded_stays(gateway: Callable[..., Proxy], origin: Origin) -> None:
    coded = zlib.compress(TEXT, wbits=31)
    said = [("Content-Type", "text/plain"), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    origin.put("/api/x", coded, etag='"a"', headers=said)
    reply = gateway(compress={}).get("/api/x", [("Accept-Encoding", "gzip, zstd")])
    assert (reply.body, reply.get("ETag")) == (coded, '"a"')
    assert reply.get("Vary") == "Accept-Encoding"


def test_routes_have_times_of_their_own(make_proxy: MakeProxy, origin: Origin) -> None:
    gate = origin.gate("/quick/x")
    origin.put("/quick/x", b"late")
    origin.put("/slow/x", b"answer", head_delay=0.6)
    origin.put("/slow/y", b"answer" * 100, hang_at=0.5)
    up = origin.url("/")
    routes = {
        "/quick/": {"upstream": up, "timeout": 0.2},
        "/slow/": {"upstream": up, "timeout": "20s", "silence": 0.2},
    }
    cache = make_proxy(config={"routes": routes, "fetch": {"silence": 0.3, "tries": 1}})
    assert cache.get("/quick/x").status == 504
    gate.open()
    assert cache.get("/slow/x").body == b"answer"
    assert not cache.get("/slow/y").complete
