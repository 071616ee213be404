"""What the requests of a run amount to, out of lines as the access log has them."""

from __future__ import annotations

import json
from typing import Any

from pyproxycache.cli.runs.records import Records
from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.formats import json_line
from pyproxycache.url import Url

URL = Url("https", "example.org", 443, "/file?a=b")


def line(result: Result, **more: Any) -> bytes:
    outcome = Outcome(
        **{"result": result, "method": "GET", "url": URL, "status": 200, "bytes_sent": 100, **more}
    )
    return json_line(outcome, True).encode() + b"\n"


def records(*lines: bytes) -> Records:
    found = Records(keeps=True)
    found.read(lines)
    return found


def test_requests_hits_and_bytes() -> None:
    found = records(
        line(Result.FETCHED),
        line(Result.HIT),
        line(Result.COLLAPSED),
        line(Result.REVALIDATED, bytes_sent=10),
        line(Result.STALE, bytes_sent=1),
        line(Result.PASSED, method="POST"),
        line(Result.LOCAL, url=None, target="/ca.pem"),
    )
    assert (found.requests, found.hits, found.bytes_saved) == (6, 4, 211)
    assert found.summary() == "6 requests, 4 from the cache, 211 B not downloaded"


def test_downloads_are_kept_where_a_report_is_wanted() -> None:
    lines = [
        line(Result.FETCHED, started=5.0, seconds=1.0),
        line(Result.HIT, started=9.0),
        line(Result.HIT, started=7.0),
        line(Result.HIT, status=304, bytes_sent=0),
        line(Result.FETCHED, method="HEAD", bytes_sent=0),
        line(Result.FETCHED, status=404),
        line(Result.HIT, status=206, bytes_sent=3),
    ]
    found = [
        (one.status, one.size, one.from_cache, one.requests, one.ended)
        for one in records(*lines).downloads.values()
    ]
    assert found == [(200, 100, False, 1, 6.0), (200, 100, True, 2, 9.0), (206, 3, True, 1, 0.0)]
    nothing = Records()
    nothing.read(lines)
    assert nothing.downloads == {}


def test_tunnels_and_why() -> None:
    connect = {"method": "CONNECT", "url": None, "target": "example.org:443"}
    found = records(
        line(Result.TUNNELLED, **connect, detail="pinned"),
        line(Result.TUNNELLED, **connect, detail="pinned"),
        line(Result.TUNNELLED, **{**connect, "target": "other.example:22"}),
        line(Result.FAILED, **connect, detail="UpstreamUnreachable", status=502),
    )
    assert [(one.host, one.why, one.tunnels, one.bytes) for one in found.tunnels.values()] == [
        ("example.org:443", "pinned", 2, 200),
        ("other.example:22", "", 1, 100),
    ]
    assert found.summary() == (
        "1 request, 0 from the cache, 0 B not downloaded; past the cache in tunnels: example.org:443 "
        "(pinned), other.example:22; 1 failure: example.org:443 (UpstreamUnreachable)"
    )


def test_failures_are_listed_up_to_a_few() -> None:
    failed = [
        line(Result.FAILED, url=Url("http", "a", 80, f"/{number}"), detail="Offline", status=504)
        for number in range(5)
    ]
    found = records(*failed, *failed)
    shown = ", ".join(f"http://a/{number} (Offline)" for number in range(3))
    assert found.summary().endswith(f"; 10 failures: {shown} and 2 more")


def test_lines_that_are_none_are_left_out() -> None:
    assert records(b"", b"\n", b"{", b"[]\n", b'"x"\n', b"\xff\n", json.dumps(3).encode()).requests == 0
