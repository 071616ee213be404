"""The formats of the access log: Squid native, NCSA common and combined, JSON."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pyproxycache.outcome import Outcome
from pyproxycache.report import fields
from pyproxycache.report.squid_codes import hierarchy, result_code

# Not by strftime, whose names depend on the locale.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Format:
    """Makes lines in two parts: `opening` is different for each request, `rest` equal for equal answers.

    `opening` takes when the request began (epoch seconds), how long it took (seconds), the client's
    address, and the user; `rest` takes the outcome, and whether queries are kept. `by_agent`: lines have
    User-Agent and Referer. Lines are printable ASCII without a line end.
    """

    opening: Callable[[float, float, str, str], str]
    rest: Callable[[Outcome, bool], str]
    by_agent: bool = False

    def __call__(self, outcome: Outcome, query: bool) -> str:
        opening = self.opening(outcome.started, outcome.seconds, outcome.client, outcome.user)
        return opening + self.rest(outcome, query)

    def lines(self, query: bool) -> Lines:
        """The format for a log that keeps queries, or does not."""
        return Lines(self.opening, lambda outcome: self.rest(outcome, query), self.by_agent)


@dataclass(frozen=True, slots=True)
class Lines:
    """Makes the lines of one log in two parts, as Format does, so that equal second parts are made once."""

    opening: Callable[[float, float, str, str], str]
    rest: Callable[[Outcome], str]
    by_agent: bool


# Most lines have the same millisecond and client as one of the lines before.


def _squid_opening(began: float, seconds: float, client: str, _user: str) -> str:
    return _squid_time(int((began + seconds) * 1000)) + _squid_client(int(seconds * 1000), client)


@functools.lru_cache(16)
def _squid_time(milliseconds: int) -> str:
    return f"{milliseconds // 1000:9d}.{milliseconds % 1000:03d} "


@functools.lru_cache(4096)
def _squid_client(milliseconds: int, client: str) -> str:
    return f"{milliseconds:6d} {fields.escaped(client)} "


def _squid_rest(outcome: Outcome, query: bool) -> str:
    resource = fields.escaped(fields.resource(outcome, query))
    # Clients show only the status of a CONNECT; what others read the log with passes over brackets.
    why = f" [{fields.escaped(outcome.detail)}]" if outcome.method == "CONNECT" and outcome.detail else ""
    return (
        f"{result_code(outcome)}/{outcome.status:03d} {outcome.head_bytes + outcome.bytes_sent} "
        f"{fields.escaped(outcome.method)} {resource} {fields.escaped(outcome.user)} {hierarchy(outcome)} "
        f"{fields.escaped(fields.media_type(outcome))}{why}"
    )


def _common_opening(began: float, _seconds: float, client: str, user: str) -> str:
    return _common_client(client, user) + _clock(int(began))


@functools.lru_cache(4096)
def _common_client(client: str, user: str) -> str:
    return f"{fields.escaped(client)} - {fields.escaped(user)} "


@functools.lru_cache(16)
def _clock(second: int) -> str:
    begin = time.gmtime(second)
    return f"[{begin.tm_mday:02d}/{MONTHS[begin.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S', begin)} +0000] "


def _common_rest(outcome: Outcome, query: bool) -> str:
    resource = fields.escaped(fields.resource(outcome, query))
    request = f"{fields.escaped(outcome.method)} {resource} {fields.escaped(outcome.version)}"
    return f'"{request}" {outcome.status:03d} {outcome.bytes_sent or "-"}'


def _combined_rest(outcome: Outcome, query: bool) -> str:
    referer, agent = fields.referer(outcome, query), outcome.user_agent
    return f"{_common_rest(outcome, query)} {fields.quoted(referer)} {fields.quoted(agent)}"


def _json_opening(began: float, seconds: float, client: str, _user: str) -> str:
    begin = datetime.fromtimestamp(began, UTC).replace(tzinfo=None)
    moment = f"{begin.isoformat(timespec='milliseconds')}Z"
    return json.dumps({"time": moment, "seconds": round(seconds, 6), "client": client})[:-1]


def _json_rest(outcome: Outcome, query: bool) -> str:
    """The rest of a JSON line; unknown values are null."""
    rest = json.dumps(
        {
            "user": fields.decoded(outcome.user) or None,
            "method": outcome.method,
            "url": fields.decoded(fields.resource(outcome, query)),
            "version": outcome.version or None,
            "status": outcome.status,
            "bytes": outcome.bytes_sent,
            "head_bytes": outcome.head_bytes,
            "received_bytes": outcome.bytes_received,
            "uploaded_bytes": outcome.bytes_uploaded,
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
            "request_id": outcome.request_id or None,
        }
    )
    return f", {rest[1:]}"


squid = Format(_squid_opening, _squid_rest)
"""Squid's native format: end time, milliseconds, client, result, bytes with the head, request, peer.

Behind that, of a CONNECT, why it was refused, failed, or was not intercepted.
"""

common = Format(_common_opening, _common_rest)
"""NCSA common: client, time of the beginning, request line, status, and bytes without the head."""

combined = Format(_common_opening, _combined_rest, by_agent=True)
"""NCSA combined: the common line with Referer and User-Agent."""

json_line = Format(_json_opening, _json_rest, by_agent=True)
"""One JSON object in each line, always with all keys."""

FORMATS: dict[str, Format] = {"squid": squid, "common": common, "combined": combined, "json": json_line}
