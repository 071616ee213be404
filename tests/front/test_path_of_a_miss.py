"""One GET that misses enters each file once, in the order that docs/architecture.md tells."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from inprocess import Front
from scripted import Scripted

import pyproxycache
from pyproxycache.url import Url

ROOT = Path(__file__).parents[2]
PACKAGE = f"{Path(pyproxycache.__file__).parent}/"
BODY = b"x" * 1000
ANSWER = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 1000\r\n\r\n" + BODY
"""In one piece, so that the body is there with its head."""


def told() -> list[str]:
    """The steps on the page, as "file function"."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition("### One GET that misses")[2].partition("\n#")[0]
    return [" ".join(step) for step in re.findall(r"^    (\S+\.py) +(\S+)", section, re.MULTILINE)]


class WatchedCalls:
    """The calls from one file into another, in all threads; a generator that goes on is no call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._frames: set[FrameType] = set()  # kept, so that no other one gets the same identity

    def note(self, frame: FrameType, event: str, _argument: Any) -> None:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(PACKAGE) or frame in self._frames:
            return
        self._frames.add(frame)
        above = frame.f_back
        while above is not None and not above.f_code.co_filename.startswith(PACKAGE):
            above = above.f_back
        caller = "" if above is None else above.f_code.co_filename
        if caller != name:
            self.calls.append((name.removeprefix(PACKAGE), frame.f_code.co_qualname))


@contextmanager
def watched(watch: WatchedCalls) -> Iterator[None]:
    """Threads that begin in here are watched to their ends."""
    threading.setprofile(watch.note)
    try:
        yield
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]


def connected(front: Front) -> socket.socket:
    return socket.create_connection(front.address)


def ask(client: socket.socket, url: Url) -> None:
    client.sendall(f"GET {url} HTTP/1.1\r\nHost: o\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(BODY):
        answer += client.recv(65536)


def test_a_miss_goes_the_way_that_is_told(tmp_path: Path) -> None:
    watch, steps = WatchedCalls(), told()
    with (
        Scripted([ANSWER, ANSWER]) as origin,
        watched(watch),
        Front(tmp_path) as front,
        connected(front) as first,
        connected(front) as second,
    ):
        ask(first, origin.url("/first"))  # what is made once is made by now
        front.told(0, 1)
        before = len(watch.calls)
        # Not on the same connection: where that still has its turn, it reads without an event.
        ask(second, origin.url("/second"))
        front.told(1, 1)
        calls = [f"{file} {function}" for file, function in watch.calls[before:]]
    assert steps
    assert [call for call in calls if call in steps] == steps
