"""Answers that refuse a release, with the reason where package managers show it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from pyproxycache.body import BytesBody
from pyproxycache.messages import Head, Headers
from pyproxycache.response import Response

_UNSENDABLE = re.compile(r"[^\x20-\x7e]")
_LONGEST_PHRASE = 400


@dataclass(frozen=True, slots=True)
class RefusedRelease(Response):
    """The answer in place of a release that clients do not get."""


def refused(status: int, why: str, *, is_text: bool = False) -> RefusedRelease:
    """The answer with this status, and why in its body and its reason phrase.

    pip shows the phrase, npm the body's `error`, and uv its `detail` (RFC 9457). go shows plain text.
    """
    title = "not given by this mirror"
    told = {"title": title, "status": status, "detail": why, "error": why}
    body = why.encode("utf-8", "replace") + b"\n" if is_text else msgspec.json.encode(told) + b"\n"
    headers = Headers(
        (
            ("Content-Type", "text/plain; charset=utf-8" if is_text else "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        )
    )
    phrase = _UNSENDABLE.sub("?", why)[:_LONGEST_PHRASE]
    return RefusedRelease(Head(status, phrase, headers), BytesBody(body), len(body))
