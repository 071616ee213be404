"""Limited requests that memory answers: each is counted, told of, and refused as without a memory."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import Front
from origin import Origin
from raw import Conversation
from waiting import until

from pyproxycache.configuration.loading import parse
from pyproxycache.options import LogOptions

PATHS = {"/a/small": b"small", "/a/large": b"0123456789" * 40_000, "/a/b/small": b"other"}
KEYS = ["one", "two"]
LIMITS = """
        limits:
          key: {by: [{header: x-key}, {query: key}], count: COUNT, per: 31d}
          ip: {by: client, count: 100000, per: 31d, kind: sliding}
"""


def routes(origin: Origin, count: int, more: str = "") -> Any:
    text = f"""
    routes:
      /a/:
        upstream: {origin.url("/")}
        cache: {{ttl: 1h, key: {{query: ignore, headers: []}}}}{LIMITS.replace("COUNT", str(count))}
        {more}
    """
    return parse(text, "c.yaml").routes


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for path, body in PATHS.items():
            running.put(path, body, headers=[("RateLimit", '"up";r=1'), ("X-Rate", "RateLimit: 5")])
        yield running


def asked(path: str, key: str | None, query: str = "", client: str = "") -> bytes:
    fields = f"X-Key: {key}\r\n" if key else ""
    fields += f"X-Noise: {client}\r\n" if client else ""
    return f"GET {path}{query} HTTP/1.1\r\nHost: gateway.test\r\n{fields}\r\n".encode()


def told(address: tuple[str, int], sent: bytes) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, body and fields of an answer, without what times and names change."""
    with Conversation(address) as client:  # a bad request ends its connection
        reply = client.send(sent).reply()
    fields = [
        (name.lower(), re.sub(r"(;t=|ttl=)\d+|pyproxycache-[0-9a-f]+", r"\1", value))
        for name, value in reply.headers
        if name.lower() not in ("age", "date", "retry-after")
    ]
    return reply.status, reply.body, sorted(fields)


MANY = "?" + "&".join(f"key={number}" for number in range(5))
REQUESTS = st.lists(
    st.builds(
        asked,
        st.sampled_from([*PATHS]),
        st.sampled_from([*KEYS, None]),
        st.sampled_from(
            ["", "?key=one", "?key=two&key=one", "?k%65y=three", "?key=1&key=2&key=3&key=4&key=5"]
        ),
        st.sampled_from(["", "noise"]),
    ),
    max_size=50,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
def test_memory_changes_nothing(
    requests: list[bytes], origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> None:
    answers = []
    for memory in (64 << 20, 0):
        folder = tmp_path_factory.mktemp("cache")
        with Front(folder, memory=memory, routes=routes(origin, 6)) as front:
            for path in PATHS:  # stored by now, so that all that follows are hits
                told(front.address, asked(path, None))
            answers.append([told(front.address, sent) for sent in requests])
    assert answers[0] == answers[1]


@pytest.fixture
def limited(tmp_path: Path, origin: Origin) -> Iterator[Callable[..., Front]]:
    fronts: list[Front] = []

    def make(count: int, **options: Any) -> Front:
        front = Front(tmp_path / str(len(fronts)), routes=routes(origin, count), **options)
        fronts.append(front)
        return front.__enter__()

    yield make
    for front in fronts:
        front.__exit__()


@pytest.mark.parametrize("path", ["/a/small", "/a/large"])
def test_each_answer_from_memory_is_counted_and_told_of(limited: Callable[..., Front], path: str) -> None:
    front = limited(20)
    with Conversation(front.address) as client:
        replies = [client.send(asked(path, "one")).reply() for _ in range(25)]
        assert [reply.status for reply in replies] == [200] * 20 + [429] * 5
        for number, reply in enumerate(replies[:20]):
            (told_of,) = (value for name, value in reply.headers if name.lower() == "ratelimit")
            assert told_of.startswith(f'"key";r={19 - number};t=')
            assert reply.body == PATHS[path]
        # Another head that memory knows the answer to, and has to count by a key of its own.
        other = client.send(asked(path, "two")).reply()
        assert '"key";r=19;' in (other.get("RateLimit") or "")
    front.told(0, 26)
    assert front.repeated >= 15


@pytest.mark.parametrize(
    "changes",
    [
        "remove: [ratelimit-policy]",
        "rename: {ratelimit: x-left}",
        "rename: {x-rate: ratelimit}",
        "set: {ratelimit: none}",
    ],
)
def test_what_a_route_changes_in_answers_is_changed_in_all(
    tmp_path: Path, origin: Origin, changes: str
) -> None:
    changed = routes(origin, 20, f"headers: {{response: {{{changes}}}}}")
    answers = []
    for memory in (64 << 20, 0):
        with Front(tmp_path / str(memory), memory=memory, routes=changed) as front:
            told(front.address, asked("/a/small", None))
            answers.append([told(front.address, asked("/a/small", "one")) for _ in range(4)])
    assert answers[0] == answers[1]


def test_the_log_has_the_bytes_that_were_sent(limited: Callable[..., Front], tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    front = limited(1000, log=LogOptions(access=str(log)))
    received = []
    with socket.create_connection(front.address) as client:
        for _ in range(10):
            client.sendall(asked("/a/small", "one"))
            answer = b""
            while not answer.endswith(b"\r\n\r\nsmall"):
                answer += client.recv(65536)
            received.append(len(answer))
    front.told(0, 10)
    assert front.repeated >= 5
    until(lambda: log.exists() and log.read_text().count("\n") == 10)
    assert sorted(int(line.split()[4]) for line in log.read_text().splitlines()) == sorted(received)
