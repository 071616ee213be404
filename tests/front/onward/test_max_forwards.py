"""How far a TRACE or OPTIONS goes."""

from __future__ import annotations

import io

import pytest

from pyproxycache.front.onward.max_forwards import counted_down
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Headers, Request
from pyproxycache.response import Response
from pyproxycache.url import Url


def request(method: str, *fields: tuple[str, str]) -> Request:
    return Request(method, Url("http", "host", 80, "/a?b"), Headers(fields))


def count_down(asked: Request) -> Request | Response:
    """Counted down as it is sent, with a field of the cache's own and to an upstream of its own."""
    received = RawRequest(asked.method, "/p/a?b", (1, 1), asked.headers, "127.0.0.1", io.BytesIO())
    return counted_down(asked.with_headers(asked.headers.with_line("X-Own", "s3cret")), received)


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS"])
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("5", "4"),
        ("1", "0"),
        ("007", "6"),
        ("9" * 30, str(2**31 - 1)),
        (None, None),
        ("x", "x"),
        ("-1", "-1"),
    ],
)
def test_one_time_less(method: str, given: str | None, sent: str | None) -> None:
    fields = [("X", "y")] + ([("Max-Forwards", given)] if given is not None else [])
    counted = count_down(request(method, *fields))
    assert isinstance(counted, Request)
    assert (counted.headers.get("max-forwards"), counted.headers.get("x")) == (sent, "y")


@pytest.mark.parametrize("method", ["GET", "POST", "x-own"])
def test_other_methods_go_on(method: str) -> None:
    asked = request(method, ("Max-Forwards", "0"))
    assert count_down(asked) == asked.with_headers(asked.headers.with_line("X-Own", "s3cret"))


def test_the_last_recipient_of_options_answers() -> None:
    answer = count_down(request("OPTIONS", ("Max-Forwards", "0")))
    assert isinstance(answer, Response)
    assert (answer.head.status, answer.length) == (200, 0)


def test_the_last_recipient_of_a_trace_shows_it_without_its_secrets() -> None:
    secret = [("Authorization", "s3cret"), ("Cookie", "s3cret"), ("Proxy-Authorization", "s3cret")]
    answer = count_down(request("TRACE", ("Max-Forwards", "0"), *secret, ("Via", "1.1 other")))
    assert isinstance(answer, Response)
    (body,) = answer.body
    assert body == b"TRACE /p/a?b HTTP/1.1\r\nMax-Forwards: 0\r\nVia: 1.1 other\r\n\r\n"
    assert answer.head.headers.get("content-type") == "message/http"
    assert answer.length == len(body)
