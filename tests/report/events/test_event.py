"""What an event tells of a request, and what it never does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from announcements import TERMS, announced
from finished import finished
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pyproxycache.messages import Headers
from pyproxycache.outcome import Forward, Result
from pyproxycache.report.events.event import envelope_of, event_line, is_marked, marked_as_resent

SECRET = "s3cret"


def told(outcome: Any = None, **of_announced: Any) -> dict[str, Any]:
    line = event_line(outcome or finished(), announced(**of_announced), "worker-1")
    assert b"\n" not in line
    told: dict[str, Any] = json.loads(line)
    return told


def test_all_of_a_request_is_told() -> None:
    outcome = finished(result=Result.FETCHED, forward=Forward.URI_MISS, user="ann", bytes_received=7)
    headers = Headers((("Accept", "application/json"), ("X-Request-Id", "r-1")))
    assert told(outcome, headers=headers, content=b'{"q": 1}') == {
        "id": "worker-1",
        "time": "2023-11-14T22:13:20.250Z",
        "route": "/api/v1/",
        "routing_key": "V1",
        "request_id": "r-1",
        "method": "GET",
        "url": "http://api.example/api/v1/users",
        "version": "HTTP/1.1",
        "client": "192.0.2.7",
        "user": "ann",
        "status": 200,
        "cache": "fetched",
        "forward": "uri-miss",
        "seconds": 0.1234,
        "bytes": 1024,
        "received_bytes": 7,
        "aborted": False,
        "headers": {"accept": "application/json", "x-request-id": "r-1"},
        "body": '{"q": 1}',
        "body_encoding": "utf-8",
        "body_is_cut": False,
    }


def test_a_request_without_an_id_has_that_of_its_event() -> None:
    assert told()["request_id"] == "worker-1"


@pytest.mark.parametrize(
    ("content", "is_cut", "body", "encoding"),
    [
        (b"", False, None, None),
        ("grün".encode(), False, "grün", "utf-8"),
        ("grün".encode()[:3], True, "gr", "utf-8"),
        ("grün".encode()[:3], False, "Z3LD", "base64"),
        (b"\xff\x00", False, "/wA=", "base64"),
    ],
    ids=["none", "text", "text that is cut", "no text", "bytes"],
)
def test_content_as_text(content: bytes, is_cut: bool, body: str | None, encoding: str | None) -> None:
    event = told(content=content, is_cut=is_cut)
    assert (event["body"], event["body_encoding"], event["body_is_cut"]) == (body, encoding, is_cut)


def test_repeated_lines_are_one_value() -> None:
    headers = Headers((("Accept", "a/b"), ("X-A", "1"), ("ACCEPT", "c/d")))
    assert told(headers=headers)["headers"] == {"accept": "a/b, c/d", "x-a": "1"}


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Bearer {SECRET}")],
        [("AUTHORIZATION", SECRET), ("authorization", SECRET)],
        [("Proxy-Authorization", f"Basic {SECRET}")],
        [("Cookie", f"a={SECRET}"), ("cOOkie", SECRET)],
        [("Referer", f"http://ann:{SECRET}@h/p")],
        [("Referer", f"http://h/p?a=b&access_token={SECRET}#x")],
        [("Referer", f"http://h/p?access%5ftoken={SECRET}")],
    ],
    ids=lambda fields: ",".join(map("=".join, fields)),
)
def test_secrets_in_fields_are_not_told(headers: list[tuple[str, str]]) -> None:
    line = event_line(finished(), announced(headers=Headers(headers)), "w-1")
    assert SECRET.encode() not in line


@pytest.mark.parametrize(
    "query",
    [
        f"access_token={SECRET}",
        f"a=1&access_token={SECRET}&b=2",
        f"ACCESS_TOKEN={SECRET}",
        f"access%5Ftoken={SECRET}",
        f"%61ccess_token={SECRET}",
        f"a=1;access_token={SECRET}",
        f"access_token={SECRET}&access_token={SECRET}",
        f"access_token=x={SECRET}",
    ],
)
def test_secrets_in_queries_are_not_told(query: str) -> None:
    line = event_line(finished(), announced(url=f"http://api.example/x?{query}"), "w-1")
    assert SECRET.encode() not in line
    assert b"http://api.example/x?" in line


def test_a_route_names_further_secrets() -> None:
    terms = replace(TERMS, redact=frozenset({"x-api-key"}), redact_query=frozenset({"key"}))
    headers = Headers((("X-Api-Key", SECRET), ("Accept", "a/b")))
    event = told(terms=terms, headers=headers, url=f"http://api.example/x?key={SECRET}&q=1")
    assert event["headers"] == {"x-api-key": "[redacted]", "accept": "a/b"}
    assert event["url"] == "http://api.example/x?key=[redacted]&q=1"


@given(
    st.lists(st.tuples(st.sampled_from(["X-A", "Cookie", "Accept"]), st.text(max_size=20))),
    st.binary(max_size=50),
    st.text(max_size=20),
)
def test_whatever_comes_is_one_line_of_json(
    fields: list[tuple[str, str]], content: bytes, query: str
) -> None:
    one = announced(headers=Headers(fields), content=content, url=f"http://h/?{query}")
    line = event_line(finished(), one, "w-1")
    assert b"\n" not in line
    assert json.loads(line)["id"] == "w-1"


def test_the_mark_of_what_is_sent_again() -> None:
    line = event_line(finished(), announced(), "w-1")
    marked = marked_as_resent(line)
    assert json.loads(marked) == {"resent": True, **json.loads(line)}
    assert (is_marked(marked), is_marked(line)) == (True, False)
    assert envelope_of(marked) == envelope_of(line)
    assert (envelope_of(line).id, envelope_of(line).routing_key) == ("w-1", "V1")
