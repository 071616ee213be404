"""Squid's words for what became of a request."""

from typing import Any

import pytest

from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.report.squid_codes import hierarchy, result_code


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("TCP_HIT", {"result": Result.HIT, "status": 200}),
        ("TCP_HIT", {"result": Result.HIT, "status": 206}),
        ("TCP_HIT_ABORTED", {"result": Result.HIT, "status": 200, "aborted": True}),
        ("TCP_IMS_HIT", {"result": Result.HIT, "status": 304}),
        ("TCP_NEGATIVE_HIT", {"result": Result.HIT, "status": 404}),
        ("TCP_HIT", {"result": Result.HIT, "status": 416}),
        ("TCP_HIT", {"result": Result.STALE, "status": 200}),
        ("TCP_REFRESH_FAIL_OLD", {"result": Result.STALE, "status": 200, "forward": Forward.STALE}),
        ("TCP_CF_REFRESH_FAIL_OLD", {"result": Result.STALE, "forward": Forward.STALE, "collapsed": True}),
        ("TCP_REFRESH_UNMODIFIED", {"result": Result.REVALIDATED, "forward": Forward.STALE}),
        ("TCP_REFRESH_UNMODIFIED", {"result": Result.REVALIDATED, "forward": Forward.REQUEST}),
        ("TCP_CF_REFRESH_UNMODIFIED", {"result": Result.REVALIDATED, "collapsed": True}),
        ("TCP_CF_HIT", {"result": Result.COLLAPSED, "forward": Forward.URI_MISS, "collapsed": True}),
        ("TCP_MISS", {"result": Result.FETCHED, "forward": Forward.URI_MISS}),
        ("TCP_MISS", {"result": Result.FETCHED, "forward": Forward.VARY_MISS}),
        ("TCP_REFRESH_MODIFIED", {"result": Result.FETCHED, "forward": Forward.STALE}),
        ("TCP_CLIENT_REFRESH_MISS", {"result": Result.FETCHED, "forward": Forward.REQUEST}),
        ("TCP_CLIENT_REFRESH_MISS", {"result": Result.PASSED, "forward": Forward.REQUEST}),
        ("TCP_MISS", {"result": Result.PASSED, "forward": Forward.METHOD}),
        ("TCP_MISS", {"result": Result.PASSED, "forward": Forward.BYPASS}),
        ("TCP_MISS", {"result": Result.FAILED, "status": 502, "forward": Forward.URI_MISS}),
        ("TCP_CF_MISS", {"result": Result.FAILED, "forward": Forward.URI_MISS, "collapsed": True}),
        ("TCP_REFRESH_FAIL_ERR", {"result": Result.FAILED, "status": 502, "forward": Forward.STALE}),
        ("TCP_MISS_ABORTED", {"result": Result.FAILED, "forward": Forward.URI_MISS, "aborted": True}),
        ("TCP_TUNNEL", {"result": Result.TUNNELLED, "method": "CONNECT", "status": 200}),
        ("TCP_TUNNEL", {"result": Result.TUNNELLED, "method": "GET", "status": 101}),
        ("TCP_TUNNEL_ABORTED", {"result": Result.TUNNELLED, "method": "CONNECT", "aborted": True}),
        ("TCP_TUNNEL", {"result": Result.FAILED, "method": "CONNECT", "status": 502}),
        ("TCP_DENIED", {"result": Result.REFUSED, "method": "CONNECT", "status": 403}),
        ("NONE_NONE", {"result": Result.REFUSED, "method": "CONNECT", "status": 400}),
        ("TCP_DENIED", {"result": Result.REFUSED, "status": 403}),
        ("TCP_DENIED", {"result": Result.REFUSED, "status": 407}),
        ("TCP_DENIED", {"result": Result.REFUSED, "method": "CONNECT", "status": 407}),
        ("TCP_DENIED", {"result": Result.REFUSED, "status": 429}),
        ("TCP_MISS", {"result": Result.REFUSED, "status": 504}),
        ("NONE_NONE", {"result": Result.REFUSED, "status": 400}),
        ("NONE_NONE", {"result": Result.LOCAL, "status": 200}),
        ("NONE_NONE_ABORTED", {"result": Result.LOCAL, "status": 200, "aborted": True}),
    ],
)
def test_result_code(code: str, outcome: dict[str, Any]) -> None:
    assert result_code(Outcome(**outcome)) == code


@pytest.mark.parametrize("result", list(Result))
@pytest.mark.parametrize("forward", [None, *Forward])
def test_every_outcome_has_a_code(result: Result, forward: Forward | None) -> None:
    protocol, _, tag = result_code(Outcome(result=result, forward=forward, status=200)).partition("_")
    assert (protocol, tag) == ("NONE", "NONE") or (protocol == "TCP" and tag)


@pytest.mark.parametrize(
    ("shown", "outcome"),
    [
        ("HIER_NONE/-", {"result": Result.HIT}),
        ("HIER_NONE/-", {"result": Result.HIT, "peer": "192.0.2.1"}),  # of an attempt that came to nothing
        ("HIER_NONE/-", {"result": Result.COLLAPSED}),
        ("HIER_NONE/-", {"result": Result.FAILED}),
        ("HIER_DIRECT/192.0.2.1", {"result": Result.FETCHED, "peer": "192.0.2.1"}),
        ("HIER_DIRECT/2001:db8::1", {"result": Result.PASSED, "peer": "2001:db8::1"}),
        ("HIER_DIRECT/192.0.2.1", {"result": Result.REVALIDATED, "peer": "192.0.2.1"}),
        ("HIER_DIRECT/192.0.2.1", {"result": Result.STALE, "peer": "192.0.2.1"}),
        (
            "FIRSTUP_PARENT/192.0.2.9",
            {"result": Result.FETCHED, "peer": "192.0.2.9", "through_parent": True},
        ),
    ],
)
def test_hierarchy(shown: str, outcome: dict[str, Any]) -> None:
    assert hierarchy(Outcome(**outcome)) == shown
