"""A finished request to make lines of."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pyproxycache.outcome import Outcome, Result
from pyproxycache.rules.urls import parse_url

STARTED = 1700000000.25


def finished(**changes: Any) -> Outcome:
    """A hit of 1,024 bytes that took 123 ms; `url` may be given as text."""
    url = changes.pop("url", "http://origin.example/pool/a.deb")
    outcome = Outcome(
        result=Result.HIT,
        status=200,
        method="GET",
        target=str(url),
        url=parse_url(url) if isinstance(url, str) else url,
        version="HTTP/1.1",
        referer="https://site.example/page",
        user_agent="curl/7.88.1",
        content_type="application/octet-stream",
        client="192.0.2.7",
        started=STARTED,
        seconds=0.1234,
        head_bytes=200,
        bytes_sent=1024,
    )
    return replace(outcome, **changes)
