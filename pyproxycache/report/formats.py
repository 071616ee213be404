"""The line of a request in each format: Squid native, NCSA common and combined, JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pyproxycache.outcome import Outcome
from pyproxycache.report import fields
from pyproxycache.report.squid_codes import hierarchy, result_code

# Not strftime's: those are the locale's.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Format = Callable[[Outcome, bool], str]
"""Outcome, and whether queries are kept; the line is printable ASCII and has no end of line."""


def squid(outcome: Outcome, query: bool) -> str:
    """Time of the end, milliseconds, client, result, bytes with the head, and what was asked of whom."""
    ended = int((outcome.started + outcome.seconds) * 1000)
    resource = fields.escaped(fields.resource(outcome, query))
    return (
        f"{ended // 1000:9d}.{ended % 1000:03d} {int(outcome.seconds * 1000):6d} {_client(outcome)} "
        f"{result_code(outcome)}/{outcome.status:03d} {outcome.head_bytes + outcome.bytes_sent} "
        f"{fields.escaped(outcome.method)} {resource} - {hierarchy(outcome)} "
        f"{fields.escaped(fields.media_type(outcome))}"
    )


def common(outcome: Outcome, query: bool) -> str:
    """Client, time of the begin, request line, status, and bytes without the head."""
    begin = time.gmtime(outcome.started)
    when = f"{begin.tm_mday:02d}/{MONTHS[begin.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S', begin)} +0000"
    resource = fields.escaped(fields.resource(outcome, query))
    request = f"{fields.escaped(outcome.method)} {resource} {fields.escaped(outcome.version)}"
    return f'{_client(outcome)} - - [{when}] "{request}" {outcome.status:03d} {outcome.bytes_sent or "-"}'


def combined(outcome: Outcome, query: bool) -> str:
    """The common line, and where the client says that it came from and what it is."""
    referer, agent = fields.referer(outcome, query), outcome.user_agent
    return f"{common(outcome, query)} {fields.quoted(referer)} {fields.quoted(agent)}"


def json_line(outcome: Outcome, query: bool) -> str:
    """An object that has every key in every line; what is not known is null."""
    begin = datetime.fromtimestamp(outcome.started, UTC).replace(tzinfo=None)
    return json.dumps(
        {
            "time": f"{begin.isoformat(timespec='milliseconds')}Z",
            "seconds": round(outcome.seconds, 6),
            "client": outcome.client,
            "method": outcome.method,
            "url": fields.decoded(fields.resource(outcome, query)),
            "version": outcome.version or None,
            "status": outcome.status,
            "bytes": outcome.bytes_sent,
            "head_bytes": outcome.head_bytes,
            "received_bytes": outcome.bytes_received,
            "result": outcome.result.value,
            "squid": result_code(outcome),
            "forward": outcome.forward.value if outcome.forward else None,
            "forward_status": outcome.forward_status,
            "stored": outcome.stored,
            "collapsed": outcome.collapsed,
            "aborted": outcome.aborted,
            "ttl": outcome.ttl,
            "detail": outcome.detail or None,
            "peer": outcome.peer or None,
            "parent": outcome.through_parent,
            "content_type": fields.decoded(outcome.content_type) or None,
            "referer": fields.decoded(fields.referer(outcome, query)) or None,
            "user_agent": fields.decoded(outcome.user_agent) or None,
        }
    )


def _client(outcome: Outcome) -> str:
    return fields.escaped(outcome.client)


FORMATS: dict[str, Format] = {"squid": squid, "common": common, "combined": combined, "json": json_line}
