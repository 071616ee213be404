"""Each request on a route is an event: whoever answers it, whatever fails, and never with its secrets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from commands import call, printed
from harness import Proxy
from origin import Origin
from raw import Conversation
from waiting import until

MakeProxy = Callable[..., Proxy]
CACHED = {"ttl": "1h"}
SECRET = "s3cret"


class Api:
    """A gateway with one route to the origin, whose events go into a file."""

    def __init__(self, make_proxy: MakeProxy, origin: Origin, folder: Path, **options: Any) -> None:
        self.file = folder / "events.jsonl"
        route = {"upstream": origin.url("/"), "events": {"routing_key": "V1"}, "cache": CACHED}
        route |= options.pop("route", {})
        to = options.pop("to", {"file": str(self.file)})
        config = {"routes": {"/api/": route}, "events": to, **options.pop("config", {})}
        self.proxy = make_proxy(config=config, **options)

    def lines(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def events(self, count: int) -> list[dict[str, Any]]:
        """All events, once there are so many."""
        until(lambda: len(self.lines()) >= count)
        assert len(self.lines()) == count
        return self.lines()


@pytest.fixture
def api(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> Callable[..., Api]:
    return lambda **options: Api(make_proxy, origin, tmp_path, **options)


def told(events: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(event[name] for name in names) for event in events]


def test_whoever_answers_it_is_an_event(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"answer")
    origin.put("/api/bad", b"no", status=500)
    one = api(route={"methods": ["GET"]})
    for number in range(6):
        assert one.proxy.get("/api/x", [("X-Request-Id", str(number)), ("X-N", str(number))]).status == 200
    assert one.proxy.get("/api/bad", [("X-Request-Id", "bad")]).status == 500
    assert one.proxy.get("/api/gone", [("X-Request-Id", "gone")]).status == 404
    assert one.proxy.get("/api/x", [("X-Request-Id", "put")], method="PUT").status == 405
    assert one.proxy.get("/elsewhere").status == 404  # on no route
    events = one.events(9)
    assert sorted(told(events, "request_id", "status", "cache", "route", "routing_key")) == [
        ("0", 200, "fetched", "/api/", "V1"),
        *((str(number), 200, "hit", "/api/", "V1") for number in range(1, 6)),
        ("bad", 500, "passed", "/api/", "V1"),
        ("gone", 404, "passed", "/api/", "V1"),
        ("put", 405, "refused", "/api/", "V1"),
    ]
    of_x = [event for event in events if event["status"] == 200]
    assert [event["headers"]["x-n"] for event in of_x] == [event["request_id"] for event in of_x]
    assert {event["url"] for event in of_x} == {f"{one.proxy.url}/api/x"}
    assert all(event["client"] == "127.0.0.1" and event["seconds"] > 0 for event in events)
    assert [int(event["id"].split("-")[1]) for event in events] == list(range(1, 10))


def test_answers_from_memory_are_events_each_with_its_own_fields(
    api: Callable[..., Api], origin: Origin
) -> None:
    origin.put("/api/x", b"answer" * 100)
    one = api(config={"log": {"access": str(Path(os.devnull))}})
    with Conversation(one.proxy.address) as client:
        for number in range(50):
            head = f"GET /api/x HTTP/1.1\r\nHost: api.example\r\nUser-Agent: a{number % 3}\r\n\r\n"
            assert client.send(head.encode()).reply().body == b"answer" * 100
    events = one.events(50)
    assert [event["headers"]["user-agent"] for event in events] == [f"a{n % 3}" for n in range(50)]
    assert len({event["id"] for event in events}) == 50
    assert all(event["request_id"] == event["id"] for event in events)
    assert {(event["status"], event["bytes"], event["url"]) for event in events} == {
        (200, 600, "http://api.example/api/x")
    }
    assert [event["cache"] for event in events] == ["fetched", *["hit"] * 49]


def test_the_id_of_a_request_is_the_same_from_memory(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"answer")
    one = api()
    head = b"GET /api/x HTTP/1.1\r\nHost: api.example\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n\r\n"
    with Conversation(one.proxy.address) as client:
        for _time in range(6):
            assert client.send(head).reply().status == 200
    assert told(one.events(6), "request_id") == [("b",)] * 6


def test_large_answers_from_memory_are_events_once_they_are_sent(
    api: Callable[..., Api], origin: Origin
) -> None:
    body = os.urandom(8 << 20)
    origin.put("/api/large", body)
    one = api()
    for _time in range(4):
        assert one.proxy.get("/api/large", [("User-Agent", "a")]).body == body
    assert told(one.events(4), "cache", "bytes", "aborted")[1:] == [("hit", 8 << 20, False)] * 3


def test_requests_that_share_a_download_are_an_event_each(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"answer" * 50_000)
    gate = origin.gate("/api/x", 0.5)
    one = api(workers=2)
    with ThreadPoolExecutor(20) as pool:
        replies = [pool.submit(one.proxy.get, "/api/x") for _client in range(20)]
        gate.wait_reached()
        gate.open()
        assert {reply.result().body for reply in replies} == {b"answer" * 50_000}
    events = one.events(20)
    assert len({event["id"] for event in events}) == 20
    assert {(event["status"], event["bytes"]) for event in events} == {(200, 300_000)}
    assert origin.count("/api/x") == 1


def test_an_upstream_that_is_down_is_told(api: Callable[..., Api], origin: Origin) -> None:
    one = api()
    origin.stop()
    assert one.proxy.get("/api/x").status == 502
    assert told(one.events(1), "status", "cache", "aborted") == [(502, "failed", False)]


def test_a_client_that_leaves_is_told(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"answer" * 500_000)
    gate = origin.gate("/api/x", 0.5)
    one = api(route={"exclude": True})
    with Conversation(one.proxy.address) as client:
        client.send(b"GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n")
        gate.wait_reached()
    gate.open()
    assert told(one.events(1), "aborted", "status") == [(True, 200)]


def test_content_up_to_the_limit(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"thanks")
    one = api(route={"events": {"body": 10}})
    bodies = (b"", b"0123456789", b"0123456789a", b"\xff\xfe", os.urandom(3 << 20))
    for number, body in enumerate(bodies):
        fields = [("X-Request-Id", str(number))]
        assert one.proxy.get("/api/x", fields, method="POST", body=body).status == 200
    events = one.events(5)
    kept = {event["request_id"]: event for event in events}
    assert told([kept[str(number)] for number in range(4)], "body", "body_encoding", "body_is_cut") == [
        (None, None, False),
        ("0123456789", "utf-8", False),
        ("0123456789", "utf-8", True),
        ("//4=", "base64", False),
    ]
    assert kept["4"]["body_is_cut"]
    sent = [asked.body for asked in origin.asked("/api/x")]
    assert sent[1:4] == [b"0123456789", b"0123456789a", b"\xff\xfe"]


def test_without_a_limit_no_content_is_told(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"thanks")
    one = api()
    one.proxy.get("/api/x", method="POST", body=SECRET.encode())
    assert told(one.events(1), "body", "body_is_cut") == [(None, False)]


def test_routes_without_events_have_none(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    origin.put("/api/x", b"x")
    origin.put("/api/y", b"y")
    one = Api(make_proxy, origin, tmp_path, route={"routes": {"y": {"events": None}}})
    for _time in range(3):
        one.proxy.get("/api/y")
    one.proxy.get("/api/x")
    assert told(one.events(1), "route") == [("/api/",)]


def test_no_secret_is_written_anywhere(api: Callable[..., Api], origin: Origin) -> None:
    """Neither into events nor on the disk meanwhile, nor into any log, at whatever answers."""
    origin.put("/api/x", b"x")
    one = api(
        config={"log": {"access": str(Path(os.devnull)), "level": "debug"}},
        route={"events": {"redact": ["x-key"], "redact_query": ["key"], "body": 100}},
    )
    fields = [
        ("Authorization", f"Bearer {SECRET}"),
        ("Cookie", f"session={SECRET}"),
        ("X-Key", SECRET),
        ("Proxy-Authorization", f"Basic {SECRET}"),
        ("Referer", f"http://u:{SECRET}@h/?access_token={SECRET}"),
    ]
    for target in ("/api/x", f"/api/x?access_token={SECRET}", f"/api/gone?a=1&KEY={SECRET}"):
        for _time in range(3):
            one.proxy.get(target, fields)
    events = one.events(9)
    one.proxy.terminate()
    texts = [one.file.read_text(), one.proxy.log()]
    texts += [path.read_text() for path in (one.proxy.cache_dir / "events").iterdir()]
    assert [text for text in texts if SECRET in text] == []
    assert {event["headers"]["authorization"] for event in events} == {"[redacted]"}


def test_the_file_is_made_anew_when_it_was_renamed(api: Callable[..., Api], origin: Origin) -> None:
    origin.put("/api/x", b"x")
    one = api()
    one.proxy.get("/api/x")
    one.events(1)
    one.file.rename(one.file.with_suffix(".old"))
    one.proxy.get("/api/x")
    assert told(one.events(1), "cache") == [("hit",)]


def test_events_that_wait_outlive_stop_and_kill(
    api: Callable[..., Api], origin: Origin, tmp_path: Path
) -> None:
    origin.put("/api/x", b"x")
    hook = Origin()
    hook.start()
    hook.put("/hook", b"", status=503)
    one = api(to={"webhook": {"url": hook.url("/hook"), "batch": 1000}})

    def ask(first: int, last: int) -> None:
        for number in range(first, last):
            assert one.proxy.get("/api/x", [("X-Request-Id", str(number))]).status == 200

    def spooled() -> int:
        folder = one.proxy.cache_dir / "events"
        return sum(path.read_bytes().count(b'"request_id"') for path in folder.glob("*.events"))

    ask(0, 20)
    one.proxy.terminate()
    assert spooled() == 20
    one.proxy.start()
    ask(20, 40)
    until(lambda: spooled() == 40)
    one.proxy.kill9()
    one.proxy.start()
    ask(40, 60)
    until(lambda: spooled() == 60)
    hook.put("/hook", b"thanks")
    hook.forget()
    until(lambda: sum(asked.body.count(b"\n") for asked in hook.requests) >= 60)
    events = [json.loads(line) for asked in hook.requests for line in asked.body.splitlines()]
    hook.stop()
    assert sorted(int(event["request_id"]) for event in events) == list(range(60))
    workers = {event["id"].split("-")[0] for event in events}
    assert len(workers) == 3


def test_a_killed_worker_leaves_no_gap(api: Callable[..., Api], origin: Origin) -> None:
    """Requests go on at the other worker, and what the killed one has spooled is in order and whole."""
    origin.put("/api/x", b"x")
    one = api(workers=2)
    for _kill in range(3):
        for number in range(40):
            one.proxy.get("/api/x", [("X-Request-Id", str(number))])
        before = one.proxy.worker_pids()
        one.proxy.kill_worker(before[0])
        until(lambda: len(one.proxy.worker_pids()) == 2)
    one.proxy.get("/api/x", [("X-Request-Id", "last")])
    until(lambda: any(event["request_id"] == "last" for event in one.lines()))
    numbers: dict[str, list[int]] = {}
    for event in one.lines():
        worker, number = event["id"].split("-")
        if int(number) in numbers.setdefault(worker, []):
            assert event.get("resent")
        else:
            numbers[worker].append(int(number))
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))


def test_where_events_go_has_to_be_said(make_proxy: MakeProxy, origin: Origin) -> None:
    route = {"upstream": origin.url("/"), "events": {}}
    with pytest.raises(RuntimeError, match="where events go is not said"):
        make_proxy(config={"routes": {"/api/": route}})


def test_stats_tells_of_events_on_their_way(
    api: Callable[..., Api], origin: Origin, tmp_path: Path
) -> None:
    origin.put("/api/x", b"answer")
    folder = tmp_path / "goes and comes"
    folder.mkdir()
    one = api(to={"file": str(folder / "events.jsonl")}, workers=2)
    folder.rmdir()
    where = ["-c", str(one.proxy.config_file), "--cache-dir", str(one.proxy.cache_dir)]

    def figures() -> dict[str, int]:
        found = printed("stats", *where)
        names = ("queued", "spooled", "sent", "lost")
        told = {name: found["counters"].get(f"events.{name}", 0) for name in names}
        return {**told, "waiting": found["events_waiting"]}

    for _ in range(5):
        assert one.proxy.get("/api/x").status == 200
    until(lambda: figures()["spooled"] == 5)
    before = figures()
    assert before == {"queued": 5, "spooled": 5, "sent": 0, "lost": 0, "waiting": before["waiting"]}
    assert before["waiting"] > 5 * 100
    text = call("stats", *where).stdout
    assert re.search(r"events that wait to be sent +[0-9.]+ KiB", text), text
    assert re.search(r"events\.spooled +5", text), text
    folder.mkdir()
    until(lambda: figures() == {"queued": 5, "spooled": 5, "sent": 5, "lost": 0, "waiting": 0})
    one.proxy.terminate()
    assert re.search(r"events that wait to be sent +0 B", call("stats", *where).stdout)
    assert figures()["sent"] == 5
