"""The line of each format, and that nothing a client sends can forge one."""

import json
import re
from typing import Any

import pytest
from finished import STARTED, finished
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.report.formats import FORMATS, combined, common, json_line, squid

SQUID = re.compile(r" *\d+\.\d{3} +\d+ (\S+) [A-Z_]+/\d{3} \d+ (\S+) (\S+) - [A-Z_]+/\S+ (\S+)", re.ASCII)
QUOTED = r'"((?:[^"\\]|\\["\\nrt]|\\x[0-9a-f]{2})*)"'
COMBINED = re.compile(
    r"(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}(?::\d\d){3} \+0000\] "
    rf'"(\S+) (\S+) (\S+)" \d{{3}} (?:\d+|-) {QUOTED} {QUOTED}',
    re.ASCII,
)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (
            "1700000000.373    123 192.0.2.7 TCP_HIT/200 1224 GET http://origin.example/pool/a.deb - "
            "HIER_NONE/- application/octet-stream",
            {},
        ),
        (
            "1700086400.250 86400000 ::1 TCP_MISS/200 3 POST https://[2001:db8::1]:8443/ - "
            "HIER_DIRECT/2001:db8::1 text/html",
            {
                "seconds": 86400.0,
                "client": "::1",
                "result": Result.FETCHED,
                "head_bytes": 1,
                "bytes_sent": 2,
                "method": "POST",
                "url": "https://[2001:db8::1]:8443/",
                "peer": "2001:db8::1",
                "content_type": "text/html ; charset=utf-8",
            },
        ),
        (
            "1700000000.250      0 192.0.2.7 NONE_NONE/400 100 CONNECT origin.example:443 - HIER_NONE/- -",
            {
                "seconds": 0.0,
                "result": Result.REFUSED,
                "status": 400,
                "head_bytes": 100,
                "bytes_sent": 0,
                "method": "CONNECT",
                "url": None,
                "target": "origin.example:443",
                "content_type": "",
            },
        ),
        *(
            (
                f"1700000000.250      0 192.0.2.7 TCP_{code} 0 CONNECT a.test:22 - HIER_NONE/- - [{why}]",
                {
                    "seconds": 0.0,
                    "result": result,
                    "status": int(code[-3:]),
                    "head_bytes": 0,
                    "bytes_sent": 0,
                    "method": "CONNECT",
                    "url": None,
                    "target": "a.test:22",
                    "content_type": "",
                    "detail": why,
                },
            )
            for code, result, why in (
                ("DENIED/403", Result.REFUSED, "PortNotAllowed"),
                ("TUNNEL/502", Result.FAILED, "UpstreamUnreachable"),
                ("TUNNEL/200", Result.TUNNELLED, "leaf-refused"),
            )
        ),
        (
            "        1.000      0 ::1 NONE_NONE/400 0 - error:invalid-request - HIER_NONE/- -",
            {
                "started": 1.0,
                "seconds": 0.0,
                "client": "::1",
                "result": Result.REFUSED,
                "status": 400,
                "head_bytes": 0,
                "bytes_sent": 0,
                "method": "",
                "url": None,
                "target": "",
                "content_type": "",
            },
        ),
    ],
)
def test_squid(line: str, changes: dict[str, Any]) -> None:
    assert squid(finished(**changes), False) == line


@pytest.mark.parametrize(
    ("request_line", "rest", "changes"),
    [
        ("GET http://origin.example/pool/a.deb HTTP/1.1", "200 1024", {}),
        (
            "HEAD http://h/ HTTP/1.0",
            "304 -",
            {"method": "HEAD", "url": "http://h/", "version": "HTTP/1.0", "status": 304, "bytes_sent": 0},
        ),
        (
            "GET /api/v1/health/ HTTP/1.1",
            "200 2",
            {"url": None, "target": "/api/v1/health/", "bytes_sent": 2},
        ),
    ],
)
def test_common(request_line: str, rest: str, changes: dict[str, Any]) -> None:
    line = f'192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "{request_line}" {rest}'
    assert common(finished(**changes), False) == line


@pytest.mark.parametrize(
    ("tail", "changes"),
    [
        ('"https://site.example/page" "curl/7.88.1"', {}),
        ('"-" "-"', {"referer": "", "user_agent": ""}),
        (r'"-" "a\"b\\c"', {"referer": "", "user_agent": 'a"b\\c'}),
        (r'"-" "a\n1.2.3.4 - -"', {"referer": "", "user_agent": "a\n1.2.3.4 - -"}),
        (r'"-" "\r\t\x00\x1b[31m\x7f"', {"referer": "", "user_agent": "\r\t\0\x1b[31m\x7f"}),
        (r'"-" "caf\xc3\xa9"', {"referer": "", "user_agent": "café".encode().decode("latin-1")}),
        (r'"-" "\xe2\x82\xac"', {"referer": "", "user_agent": "€"}),
    ],
)
def test_combined(tail: str, changes: dict[str, Any]) -> None:
    outcome = finished(**changes)
    assert combined(outcome, False) == f"{common(outcome, False)} {tail}"


@pytest.mark.parametrize(
    ("shown", "kept", "changes"),
    [
        ("http://h/p", "http://h/p", {"url": "http://h/p"}),
        ("http://h/p?", "http://h/p?token=s3cret", {"url": "http://h/p?token=s3cret"}),
        ("http://h/p?", "http://h/p?", {"url": "http://h/p?"}),
        ("http://h/p?", "http://h/p?a?b", {"url": "http://h/p?a?b"}),
        ("http://h/@scope/x", "http://h/@scope/x", {"url": "http://h/@scope/x"}),
        ("http://h/%22x%22", "http://h/%22x%22", {"url": 'http://h/"x"'}),
        ("/status?", "/status?x", {"url": None, "target": "/status?x"}),
        # What follows was refused.
        ("http://-@h/p?", "http://-@h/p?q", {"url": None, "target": "http://user:s3cret@h/p?q"}),
        ("http://-@h/", "http://-@h/", {"url": None, "target": "http://user:s3?cret@h/"}),
        ("http://-@h/", "http://-@h/", {"url": None, "target": "http://u:s3/c@ret@h/"}),
        ("/https://-@h/p", "/https://-@h/p", {"url": None, "target": "/https://user:s3cret@h/p"}),
        ("/http:/-@h/p", "/http:/-@h/p", {"url": None, "target": "/http:/user:s3cret@h/p"}),
        ("/https%3A%2F%2F-@h", "/https%3A%2F%2F-@h", {"url": None, "target": "/https%3A%2F%2Fu%3As%40h"}),
        ("-@h:443", "-@h:443", {"url": None, "target": "user:s3cret@h:443"}),
        ("/-@h/", "/-@h/", {"url": None, "target": "/api/v1/fetch/?url=http://user:s3cret@h/"}),
        ("a%20b%0A%5C%E9", "a%20b%0A%5C%E9", {"url": None, "target": "a b\n\\\xe9"}),
    ],
)
def test_resource(shown: str, kept: str, changes: dict[str, Any]) -> None:
    outcome = finished(**changes)
    for query, resource in ((False, shown), (True, kept)):
        assert squid(outcome, query).split()[6] == resource
        assert combined(outcome, query).split()[6] == resource


@pytest.mark.parametrize(
    ("sent", "shown", "kept"),
    [
        ("https://h/p?token=s3cret", "https://h/p?", "https://h/p?token=s3cret"),
        ("https://h/p#token=s3cret", "https://h/p#", "https://h/p#token=s3cret"),
        ("https://user:s3cret@h/p", "https://h/p", "https://h/p"),
        ("https://h/@user", "https://h/@user", "https://h/@user"),
        ('x" 200 1 "', r"x\" 200 1 \"", r"x\" 200 1 \""),
    ],
)
def test_referer(sent: str, shown: str, kept: str) -> None:
    for query, referer in ((False, shown), (True, kept)):
        assert f' "{referer}" "curl' in combined(finished(referer=sent), query)


def test_a_long_target_costs_no_time() -> None:
    for target in ("https:" + "/" * 100_000, "https:" + "%2F" * 30_000, "@" * 100_000):
        assert squid(finished(url=None, target=target), False)


def test_who_has_logged_in() -> None:
    outcome = finished(user="änn b".encode().decode("latin-1"))
    assert " GET http://origin.example/pool/a.deb %C3%A4nn%20b HIER_NONE/- " in squid(outcome, False)
    for line in (common, combined):
        assert line(outcome, False).startswith("192.0.2.7 - %C3%A4nn%20b [")
    assert json.loads(json_line(outcome, False))["user"] == "änn b"


def test_json() -> None:
    outcome = finished(
        url="http://h/p?token=s3cret",
        result=Result.FETCHED,
        forward=Forward.URI_MISS,
        forward_status=200,
        stored=True,
        ttl=60,
        detail="x",
        peer="192.0.2.1",
        bytes_received=1300,
        content_type="text/html; charset=utf-8",
        user_agent="café".encode().decode("latin-1"),
    )
    assert json.loads(json_line(outcome, False)) == {
        "time": "2023-11-14T22:13:20.250Z",
        "seconds": 0.1234,
        "client": "192.0.2.7",
        "user": None,
        "method": "GET",
        "url": "http://h/p?",
        "version": "HTTP/1.1",
        "status": 200,
        "bytes": 1024,
        "head_bytes": 200,
        "received_bytes": 1300,
        "uploaded_bytes": 0,
        "result": "fetched",
        "squid": "TCP_MISS",
        "forward": "uri-miss",
        "forward_status": 200,
        "stored": True,
        "collapsed": False,
        "aborted": False,
        "ttl": 60,
        "detail": "x",
        "peer": "192.0.2.1",
        "parent": False,
        "content_type": "text/html; charset=utf-8",
        "referer": "https://site.example/page",
        "user_agent": "café",
        "request_id": None,
    }
    assert json.loads(json_line(outcome, True))["url"] == "http://h/p?token=s3cret"


def test_json_has_the_same_keys_always() -> None:
    nothing = json.loads(json_line(Outcome(started=STARTED), False))
    assert nothing.keys() == json.loads(json_line(finished(), False)).keys()
    absent = {key for key, value in nothing.items() if value is None}
    assert absent >= {"version", "forward", "forward_status", "ttl", "peer", "referer", "user_agent"}


ANYTHING = st.text(max_size=40) | st.text('"\\ \r\n\t[]-/%@?\0\x7fé€', max_size=20)
OUTCOMES = st.builds(
    finished,
    url=st.none() | st.just("http://h/p"),
    target=ANYTHING,
    method=ANYTHING,
    version=ANYTHING,
    referer=ANYTHING,
    user_agent=ANYTHING,
    content_type=ANYTHING,
    client=ANYTHING,
    detail=ANYTHING,
    result=st.sampled_from(Result),
    forward=st.none() | st.sampled_from(Forward),
    aborted=st.booleans(),
)


@given(OUTCOMES, st.booleans())
def test_no_field_is_forged(outcome: Outcome, query: bool) -> None:
    for form in FORMATS.values():
        line = form(outcome, query)
        assert line.isascii()
        assert line.isprintable()
    assert SQUID.fullmatch(squid(outcome, query))
    assert COMBINED.fullmatch(combined(outcome, query))
    assert json.loads(json_line(outcome, query))["detail"] == (outcome.detail or None)


@given(st.text(max_size=30))
def test_what_is_quoted_can_be_read_back(text: str) -> None:
    match = COMBINED.fullmatch(combined(finished(user_agent=text), False))
    assert match is not None
    read = match[6].encode("ascii").decode("unicode_escape").encode("latin-1")
    sent = b"".join(c.encode("latin-1" if c <= "\xff" else "utf-8", "replace") for c in text)
    assert read == (sent or b"-")
