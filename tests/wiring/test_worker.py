"""A worker's parts joined: what they do when it ends."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path

from origin import Origin
from scripted import OK, Scripted

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import parse
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Headers
from pyproxycache.options import Share, StoreOptions
from pyproxycache.steps import finished
from pyproxycache.wiring.worker import build_worker

STALE = "max-age=0, stale-while-revalidate=100"


def get(parts: WorkerParts, url: str) -> bytes:
    fields = (("Host", "origin.example"),)
    received = RawRequest("GET", url, (1, 1), Headers(fields), "127.0.0.1", io.BytesIO())
    answer = finished(parts.application.answer(received))
    try:
        return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in answer.body)
    finally:
        answer.close()


def refreshing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("refresh")]


def test_without_a_store_origins_are_given_the_time_that_rules_give_them(tmp_path: Path) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    text = f"""
store: {{path: {no_folder}}}
fetch: {{silence: 0.2, tries: 1}}
rules:
  - {{match: {{path: ^/slow}}, silence: 30s}}
"""
    parts = build_worker(parse(text, "test"))
    silent = threading.Event()

    def late(connection: socket.socket) -> None:
        silent.wait(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")

    with Scripted([late]) as server:
        assert get(parts, f"http://127.0.0.1:{server.port}/slow") == b"body"


def test_without_a_store_only_connections_and_heap_are_seen_to_until_the_end(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    no_folder = tmp_path / "file"
    no_folder.touch()
    parts = build_worker(Config(store=StoreOptions(path=no_folder)))
    try:
        begun = [thread.name for thread in threading.enumerate() if thread not in before]
        assert begun == ["housekeeping"]
        with Scripted([OK]) as server:
            assert get(parts, f"http://127.0.0.1:{server.port}/") == b"right"
    finally:
        parts.hooks.close(0)
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def test_what_waits_to_be_refreshed_does_not_begin_after_the_end(origin: Origin, tmp_path: Path) -> None:
    parts = build_worker(Config(store=StoreOptions(path=tmp_path, reserve=Share(percent=0))))
    paths = [f"/{number}" for number in range(6)]
    for path in paths:
        origin.put(path, b"body", etag='"1"', cache_control=STALE)
        assert get(parts, origin.url(path)) == b"body"
    origin.forget()
    gates = [origin.gate(path) for path in paths]
    for path in paths:
        assert get(parts, origin.url(path)) == b"body"
    begun = paths[: len(refreshing())]
    for path in begun:
        origin.wait_for(path)
    parts.hooks.close(0)
    for gate in gates:
        gate.open()
    # Where the end were not told, they would wait for more.
    for thread in refreshing():
        thread.join(10)
    assert refreshing() == []
    assert [asked.path for asked in origin.requests if asked.path not in begun] == []
    assert 0 < len(begun) < len(paths)
