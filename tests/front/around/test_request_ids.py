"""Ids of requests and of traces: which are taken from clients, and which are made."""

from __future__ import annotations

import re

import pytest

from pyproxycache.front.around.request_ids import with_request_id, with_trace
from pyproxycache.messages import Headers

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MADE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


@pytest.mark.parametrize(
    "sane", ["a", "7f3c", "0b1e-4c", "01HZX:7@node/1+2=~.", "A" * 128, "Root=1-67891233-abcdef"]
)
def test_a_sane_id_is_taken(sane: str) -> None:
    headers = Headers([("x-request-id", sane)])
    assert with_request_id(headers) == (headers, sane)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["a b"],
        ["a\tb"],
        ["é"],
        ["<b>"],
        ['a"'],
        ["-a"],
        ["A" * 129],
        ["a" * 10_000],
        ["a", "b"],
        ["a,b"],
    ],
)
def test_another_one_is_replaced(lines: list[str]) -> None:
    headers, made = with_request_id(Headers([("X-Request-ID", line) for line in lines]))
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert headers.lines("x-request-id") == (made,)
    assert with_request_id(Headers())[1] != made


@pytest.mark.parametrize(
    "parent",
    [
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-ff",
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-else",
    ],
)
def test_a_well_formed_trace_goes_on(parent: str) -> None:
    headers = Headers([("traceparent", parent), ("tracestate", "a=b")])
    assert with_trace(headers) == headers


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE}-{SPAN}-01-x"],
        [f"00-{TRACE}-{SPAN}-01-"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"cc-{TRACE}-{SPAN}-01x"],
        [f"00-{TRACE}-{SPAN}-01"] * 2,
        ["x" * 10_000],
    ],
)
def test_another_one_begins_here(lines: list[str]) -> None:
    headers = with_trace(Headers([("Tracestate", "a=b"), *(("Traceparent", line) for line in lines)]))
    (made,) = headers.lines("traceparent")
    assert MADE.fullmatch(made)
    assert made not in lines
    assert "tracestate" not in headers
