"""Requests over a limit that memory refuses: without a thread, and in all else as threads refuse them."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import Front
from introspection_server import IntrospectionServer
from msgspec.structs import replace
from origin import Origin
from raw import Conversation
from waiting import until

from pyproxycache.configuration.loading import parse
from pyproxycache.options import LogOptions
from pyproxycache.outcome import Outcome, Result

BODIES = {"ann1": "ann", "ann2": "ann", "bob": "bob"}
PATHS = ["/open/x", "/open/missing", "/cors/x", "/ids/x", "/coded/x", "/both/x", "/user/x", "/first/x"]


@pytest.fixture(scope="module")
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as running:
        for token, user in BODIES.items():
            running.issue(token, sub=user)
        yield running


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for path in PATHS:
            if "missing" not in path:
                running.put(path, b"answer" * 400, headers=[("Content-Type", "text/plain")])
        yield running


def gateway(
    origin: Origin, server: IntrospectionServer, count: int, events: Path = Path(os.devnull)
) -> dict[str, Any]:
    """Limits before and behind the check of tokens, one of them alone, and all that changes answers."""
    key = f"key: {{by: {{header: x-key}}, count: {count}, per: 31d}}"
    ip = f"ip: {{by: client, count: {count * 5}, per: 31d, kind: sliding}}"
    user = f"user: {{by: {{token: sub}}, count: {count}, per: 31d, kind: bucket}}"
    tokens = f'introspect: {{endpoint: {{url: "{server.url}"}}, token: [bearer], remember: 1h}}'
    page = "cors: {origins: ['https://a.test']}, headers: {response: {remove: [ratelimit]}}"
    text = f"""
    events: {{file: "{events}"}}
    routes:
      /:
        upstream: {origin.url("/")}
        cache: {{ttl: 1h, key: {{headers: []}}}}
        events: {{routing_key: V1}}
        routes:
          open/: {{limits: {{{key}, {ip}}}}}
          cors/: {{limits: {{{key}}}, {page}}}
          ids/: {{limits: {{{key}}}, request_id: true}}
          coded/: {{limits: {{{key}}}, compress: {{}}}}
          both/: {{limits: {{{user}, {ip}}}, {tokens}}}
          user/: {{limits: {{{user}}}, {tokens}}}
          first/: {{limits: {{{ip}}}, {tokens}}}
    """
    config = parse(text, "c.yaml")
    return {"routes": config.routes, "events": config.events}


def asked(path: str, token: str = "", key: str = "", method: str = "GET", more: str = "") -> bytes:
    fields = f"Authorization: Bearer {token}\r\n" if token else ""
    fields += f"X-Key: {key}\r\n" if key else ""
    return f"{method} {path} HTTP/1.1\r\nHost: gateway.test\r\n{fields}{more}\r\n".encode()


VARYING = re.compile(r"(;t=|ttl=|in )\d+|pyproxycache-[0-9a-f]+")


def told(address: tuple[str, int], sent: bytes) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, body and fields of an answer, without what times, names and ids change."""
    with Conversation(address) as client:
        reply = client.send(sent).reply(sent.split()[0].decode())
    varying = ("age", "date", "retry-after", "x-request-id", "content-length")
    fields = [
        (name.lower(), item)  # memory tells of all limits in one line, threads of those of each gate
        for name, value in reply.headers
        if name.lower() not in varying
        for item in VARYING.sub(r"\1", value).split(", ")
    ]
    body = reply.body.decode() if reply.status == 429 else ""
    return reply.status, VARYING.sub(r"\1", body), sorted(fields)


def recorded(outcome: Outcome) -> Outcome:
    """The record without times, and sizes of heads."""
    return replace(
        outcome,
        started=0.0,
        begun=0.0,
        seconds=0.0,
        ttl=None,
        head_bytes=0,
        bytes_sent=0,
        request_id="",
        bytes_received=0,
        result=Result.HIT if outcome.status != 429 else outcome.result,
        peer="",
        stored=False,
        collapsed=False,
        forward=None,
        forward_status=None,
        detail="",
    )


REQUESTS = st.lists(
    st.builds(
        asked,
        st.sampled_from(PATHS),
        st.sampled_from([*BODIES, "invalid", ""]),
        st.sampled_from(["one", "two", ""]),
        st.sampled_from(["GET", "GET", "GET", "HEAD"]),
        st.sampled_from(["", "Origin: https://a.test\r\n", "Accept-Encoding: gzip\r\n", "X-Noise: a\r\n"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
def test_memory_refuses_as_threads_do(
    requests: list[bytes],
    origin: Origin,
    server: IntrospectionServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each request comes several times, in turn: whatever is refused by then is so with the same words."""
    answers, records = [], []
    for memory in (64 << 20, 0):
        folder = tmp_path_factory.mktemp("cache")
        with Front(folder, memory=memory, **gateway(origin, server, 3)) as front:
            answers.append([told(front.address, sent) for _round in range(6) for sent in requests])
            outcomes = front.told(0, len(answers[-1]))
            # Those from memory are reported together, and so not in the order in which they came.
            records.append(Counter(repr(recorded(outcome)) for outcome in outcomes))
    assert answers[0] == answers[1]
    assert records[0] == records[1]


@pytest.mark.parametrize(
    ("path", "token", "from_memory"),
    [
        ("/open/x", "", True),
        ("/open/missing", "", True),
        ("/cors/x", "", True),
        ("/ids/x", "", False),  # each has an id of its own
        ("/coded/x", "", True),
        ("/user/x", "ann1", True),
        ("/first/x", "invalid", True),  # as by a thread, before the token is looked at
    ],
)
def test_who_is_over_a_limit_costs_no_thread(
    origin: Origin, server: IntrospectionServer, tmp_path: Path, path: str, token: str, from_memory: bool
) -> None:
    with Front(tmp_path, **gateway(origin, server, 1)) as front, Conversation(front.address) as client:
        sent = asked(path, token, "one")
        statuses = [client.send(sent).reply().status for _ in range(60)]
        assert statuses[6:] == [429] * 54
        outcomes = front.told(0, 60)
    assert (front.repeated > 40) is from_memory
    assert Counter(one.status for one in outcomes) == Counter(statuses)
    assert all(one.result is Result.REFUSED for one in outcomes if one.status == 429)


def test_a_limit_before_tokens_counts_what_one_behind_them_refuses(
    origin: Origin, server: IntrospectionServer, tmp_path: Path
) -> None:
    with Front(tmp_path, **gateway(origin, server, 4)) as front, Conversation(front.address) as client:
        left = []
        for _ in range(30):
            reply = client.send(asked("/both/x", "bob")).reply()
            said = ", ".join(value for name, value in reply.headers if name.lower() == "ratelimit")
            left.append(int(dict(re.findall(r'"(\w+)";r=(\d+)', said))["ip"]))
    assert left == [*range(19, -1, -1), *[0] * 10]


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
def test_who_waits_long_enough_passes_though_the_flood_goes_on(
    origin: Origin, server: IntrospectionServer, tmp_path: Path, kind: str
) -> None:
    limit = f"key: {{by: {{header: x-key}}, count: 4, per: 2s, kind: {kind}}}"
    text = f'routes: {{/: {{upstream: "{origin.url("/")}", cache: {{ttl: 1h}}, limits: {{{limit}}}}}}}'
    with Front(tmp_path, routes=parse(text, "c.yaml").routes) as front:
        with Conversation(front.address) as client:
            statuses: list[int] = []
            while statuses.count(200) < 8:
                statuses.append(client.send(asked("/open/x", key="one")).reply().status)
        assert statuses[:5] == [200] * 4 + [429]
        assert set(statuses) == {200, 429}
        front.told(0, len(statuses))
    assert front.repeated > len(statuses) / 2


def test_each_is_in_the_log_and_an_event_of_its_own(
    origin: Origin, server: IntrospectionServer, tmp_path: Path
) -> None:
    log, events = tmp_path / "access.log", tmp_path / "events.jsonl"
    front = Front(
        tmp_path / "cache",
        log=LogOptions(access=str(log), format="json"),
        **gateway(origin, server, 2, events),
    )
    lengths: list[int] = []
    with front, Conversation(front.address) as client:
        for number in range(40):
            more = f"User-Agent: a{number % 2}\r\nReferer: r\r\n"
            reply = client.send(asked("/open/x", key="one", more=more)).reply()
            lengths.append(len(reply.body))
        front.told(0, 40)
        assert front.repeated > 20
        until(lambda: log.exists() and log.read_text().count("\n") == 40)
        until(lambda: events.exists() and events.read_text().count("\n") == 40)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    refused = [line for line in lines if line["status"] == 429]
    assert len(refused) == 38
    assert Counter(line["user_agent"] for line in lines) == {"a0": 20, "a1": 20}
    assert sorted(line["bytes"] for line in lines) == sorted(lengths)
    assert {line["referer"] for line in lines} == {"r"}
    told_of = [json.loads(line) for line in events.read_text().splitlines()]
    assert Counter((one["status"], one["cache"]) for one in told_of)[429, "refused"] == 38
    assert len({one["id"] for one in told_of}) == 40
    assert Counter(one["headers"]["user-agent"] for one in told_of) == {"a0": 20, "a1": 20}


@pytest.mark.parametrize(
    "changes",
    [
        "{remove: [ratelimit]}",
        "{rename: {ratelimit: x-left}}",
        "{rename: {content-type: ratelimit-policy}}",
        "{set: {ratelimit: none}}",
        "{set: {x-other: here}}",
    ],
)
def test_what_a_route_makes_of_the_fields_that_tell_of_limits_holds_for_memory(
    origin: Origin, tmp_path: Path, changes: str
) -> None:
    text = f"""
    routes:
      /:
        upstream: {origin.url("/")}
        cache: {{ttl: 1h}}
        headers: {{response: {changes}}}
        limits: {{key: {{by: {{header: x-key}}, count: 5, per: 31d}}}}
    """
    answers = []
    for memory in (64 << 20, 0):
        config = parse(text, "c.yaml")
        with Front(tmp_path / str(memory), memory=memory, routes=config.routes) as front:
            answers.append([told(front.address, asked("/open/x", key="one")) for _ in range(9)])
    assert answers[0] == answers[1]
