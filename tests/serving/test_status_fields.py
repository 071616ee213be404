"""Cache-Status and Proxy-Status: always a list member that parses, and never one that tells too much."""

from __future__ import annotations

import http_sf
import pytest
from msgspec.structs import replace

from pyproxycache import errors
from pyproxycache.errors import (
    BadRequest,
    BrokenOff,
    Forbidden,
    LoopDetected,
    NotFound,
    ProxyError,
    StoreError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pyproxycache.messages import Head, Headers
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.response import Response
from pyproxycache.serving import responses
from pyproxycache.serving.status_fields import cache_status, proxy_status


def parsed(text: str) -> dict[str, object]:
    """The parameters of the only member; tokens as text."""
    ((name, parameters),) = http_sf.parse(text.encode("ascii"), tltype="list")
    assert str(name) == "us"
    return {
        key: str(value) if isinstance(value, http_sf.Token) else value for key, value in parameters.items()
    }


MISS = {"result": Result.FETCHED, "forward": Forward.URI_MISS, "forward_status": 200}


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(Result.HIT, ttl=376), "us; hit; ttl=376"),
        (Outcome(Result.STALE, ttl=-412), "us; hit; ttl=-412"),
        (Outcome(Result.HIT), "us; hit"),
        (Outcome(Result.REFUSED), "us"),
        (Outcome(**MISS, stored=True), "us; fwd=uri-miss; fwd-status=200; stored"),
        (Outcome(**MISS, stored=True, ttl=9), "us; fwd=uri-miss; fwd-status=200; ttl=9; stored"),
        (Outcome(**MISS, collapsed=True), "us; fwd=uri-miss; fwd-status=200; collapsed"),
        (Outcome(Result.REVALIDATED, Forward.STALE, 304), "us; fwd=stale; fwd-status=304"),
        (
            Outcome(Result.STALE, Forward.STALE, 500, ttl=-3, detail="origin-500"),
            "us; fwd=stale; fwd-status=500; ttl=-3; detail=origin-500",
        ),
        # A hit went nowhere and brought nothing in.
        (Outcome(Result.HIT, forward_status=200, stored=True, collapsed=True), "us; hit"),
        (Outcome(Result.FAILED, Forward.MISS, detail="BrokenOff"), "us; fwd=miss; detail=BrokenOff"),
        (Outcome(Result.PASSED, Forward.METHOD, detail="two words"), 'us; fwd=method; detail="two words"'),
        (Outcome(Result.PASSED, Forward.METHOD, detail="5xx"), 'us; fwd=method; detail="5xx"'),
    ],
)
def test_what_became_of_a_request(outcome: Outcome, text: str) -> None:
    outcome = replace(outcome, key="http://host/")
    assert cache_status(outcome, "us", with_key=False) == text
    assert cache_status(outcome, "us", with_key=True) == f'{text}; key="http://host/"'
    assert parsed(text).keys() >= {"hit"} or "fwd" in parsed(text) or text == "us"


@pytest.mark.parametrize("forward", Forward)
def test_each_reason_is_a_token(forward: Forward) -> None:
    outcome = Outcome(Result.FETCHED, forward)
    assert parsed(cache_status(outcome, "us", with_key=True)) == {"fwd": forward.value}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("http://host/a?b=c", "http://host/a?b=c"),
        ('http://host/"\\"', 'http://host/"\\"'),
        ("http://host/" + "a" * 1012, "http://host/" + "a" * 1012),
        ("http://host/" + "a" * 1013, None),
        ("http://host/\xe9", None),
        ("http://host/\n", None),
        ("", None),
    ],
)
def test_the_key_is_told_where_it_can_be(key: str, told: str | None) -> None:
    assert parsed(cache_status(Outcome(Result.HIT, key=key), "us", with_key=True)).get("key") == told


def all_errors(base: type[ProxyError] = ProxyError) -> list[type[ProxyError]]:
    return [base, *(error for child in base.__subclasses__() for error in all_errors(child))]


# RFC 9209 section 2.3, those that can happen here.
REGISTERED = {
    "connection_read_timeout",
    "destination_ip_prohibited",
    "destination_unavailable",
    "http_protocol_error",
    "http_request_denied",
    "http_request_error",
    "http_response_incomplete",
    "proxy_internal_error",
    "proxy_loop_detected",
    "tls_alert_received",
}


def test_each_error_has_a_registered_type() -> None:
    assert {error.proxy_error for error in all_errors() if error.__module__ == errors.__name__} == {
        *REGISTERED,
        "",
    }


@pytest.mark.parametrize(
    ("error", "kind", "details"),
    [
        (BadRequest("a field is missing"), "http_request_error", "a field is missing"),
        (Forbidden("not you"), "http_request_denied", "not you"),
        (
            Forbidden("not 10.0.0.1", "destination_ip_prohibited"),
            "destination_ip_prohibited",
            "not 10.0.0.1",
        ),
        (LoopDetected("http://h/a?token=s3cret again"), "proxy_loop_detected", "http://h/a?... again"),
        (UpstreamTimeout("late"), "connection_read_timeout", "late"),
        (UpstreamUnreachable('caf\xe9 \x01 "x" \\'), "destination_unavailable", 'caf? ? "x" \\'),
        (BrokenOff("y" * 999), "http_response_incomplete", "y" * 256),
        (StoreError("/var/cache/pyproxycache: no room"), "proxy_internal_error", None),
        (ProxyError("at line 7 of /opt/x.py"), "proxy_internal_error", None),
    ],
)
def test_what_an_error_is_called(error: ProxyError, kind: str, details: str | None) -> None:
    expected = {"error": kind} if details is None else {"error": kind, "details": details}
    assert parsed(proxy_status(error, "us")) == expected


def test_what_is_no_error_of_a_proxy_is_not_told() -> None:
    assert proxy_status(NotFound("no such page"), "us") == ""


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (
            responses.from_error(UpstreamTimeout("late")),
            'us; error=connection_read_timeout; details="late"',
        ),
        (responses.from_error(NotFound("no such page")), None),
        (responses.from_text(504, "only-if-cached"), None),
        (Response(Head(502, "", Headers([("Proxy-Status", "other")]))), "other"),
    ],
)
def test_an_answer_is_signed_with_both(response: Response, said: str | None) -> None:
    error = response.error if isinstance(response, responses.Failure) else None
    headers = responses.signed(response.head, "us", "us; hit", 0.0, error)
    assert (headers.get("proxy-status"), headers.get("cache-status")) == (said, "us; hit")
    assert "cache-status" not in responses.signed(response.head, "us", "", 0.0, error)
