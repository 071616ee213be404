"""The event of a finished request, as one line of JSON."""

from __future__ import annotations

import base64
import codecs
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from pyproxycache.announced import Announced
from pyproxycache.outcome import Outcome
from pyproxycache.report.events.redaction import redacted_fields, redacted_url
from pyproxycache.report.fields import decoded

_encode = msgspec.json.Encoder().encode
_utf_8 = codecs.getincrementaldecoder("utf-8")
_RESENT = b'"resent":true,'


class Event(Struct, frozen=True):
    """What is told of one request, in this order; None where there is nothing to tell.

    `id` is the worker's name and the number of the event there. `time` is when the request began. `cache`
    is the result, `forward` why the origin was asked. `bytes` were sent to the client, `received_bytes` by
    the origin. `body` is the beginning of the request's content, by `body_encoding` utf-8 or base64.
    """

    id: str
    time: str
    route: str
    routing_key: str
    request_id: str
    method: str
    url: str
    version: str
    client: str
    user: str | None
    status: int
    cache: str
    forward: str | None
    seconds: float
    bytes: int
    received_bytes: int
    aborted: bool
    headers: dict[str, str]
    body: str | None = None
    body_encoding: str | None = None
    body_is_cut: bool = False


class Envelope(Struct, frozen=True):
    """What a sender needs to know of an event."""

    id: str = ""
    routing_key: str = ""


def event_line(outcome: Outcome, announced: Announced, event_id: str) -> bytes:
    """The event of a finished request as JSON in one line, without a line end and without secrets."""
    terms = announced.terms
    begin = datetime.fromtimestamp(outcome.started, UTC).replace(tzinfo=None)
    body, encoding = _as_text(announced.content, is_cut=announced.is_cut)
    event = Event(
        id=event_id,
        time=f"{begin.isoformat(timespec='milliseconds')}Z",
        route=terms.route,
        routing_key=terms.routing_key,
        request_id=outcome.request_id or announced.request_id or event_id,
        method=outcome.method,
        url=decoded(redacted_url(announced.url, terms.redact_query)),
        version=outcome.version,
        client=outcome.client,
        user=decoded(outcome.user) or None,
        status=outcome.status,
        cache=outcome.result.value,
        forward=outcome.forward.value if outcome.forward else None,
        seconds=round(outcome.seconds, 6),
        bytes=outcome.bytes_sent,
        received_bytes=outcome.bytes_received,
        aborted=outcome.aborted,
        headers=redacted_fields(announced.headers, terms.redact, terms.redact_query),
        body=body,
        body_encoding=encoding,
        body_is_cut=announced.is_cut,
    )
    return _encode(event)


def envelope_of(line: bytes) -> Envelope:
    """The envelope of an event; raises ValueError if the line is none."""
    return msgspec.json.decode(line, type=Envelope)


def marked_as_resent(line: bytes) -> bytes:
    """The event with the mark that it may have been delivered before."""
    return line[:1] + _RESENT + line[1:]


def is_marked(line: bytes) -> bool:
    """Whether the event has that mark."""
    return line.startswith(_RESENT, 1)


def _as_text(content: bytes, *, is_cut: bool) -> tuple[str | None, str | None]:
    """Content as text with the name of its encoding."""
    if not content:
        return None, None
    try:
        # Of a cut content, the last character may be a part of one.
        return _utf_8().decode(content, not is_cut), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"
