"""The lines in which a leader's process tells others of a flight's progress, over a Unix socket.

A follower asks with `question`. The answer is FILE_COMES with the file's descriptor, once there is a file,
and a line of JSON for each change, or an empty line now and then as a sign of life. The end of the stream
without a line that has the flight's end means that the leader's process is gone.
"""

from __future__ import annotations

import json
import socket
import struct

from pyproxycache.errors import ProxyError, error_named
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.index.rows import entry_from, row_of
from pyproxycache.store.values import End, Progress

FILE_COMES = b"file\n"
BEAT = b"\n"


def user_of(connection: socket.socket) -> int:
    """The user id at the other end of a Unix socket."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, user, _group = struct.unpack("3i", found)
    return int(user)


def question(token: str, key: FlightKey) -> bytes:
    """The line by which a follower asks for a flight."""
    return json.dumps((token, key.cache_key, key.variant)).encode() + b"\n"


def asked_for(line: str) -> tuple[str, FlightKey]:
    """The token and the flight key in the line of question(); raises ValueError."""
    token, cache_key, variant = json.loads(line)
    return token, FlightKey.of(cache_key, variant)


def encode(progress: Progress, partial: str | None = None) -> bytes:
    """The line that tells the progress; with `partial`, the file's name, it tells the entry as well."""
    message: dict[str, object] = {"generation": progress.generation, "size": progress.size}
    if partial is not None and progress.entry is not None:
        message |= {"entry": row_of(progress.entry), "length": progress.length, "partial": partial}
    if progress.end is not None:
        message["end"] = progress.end.value
    if progress.error is not None:
        error = progress.error
        message["error"] = [type(error).__name__, str(error), error.proxy_error]
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes, last: Progress) -> tuple[Progress, str | None]:
    """The progress that a line tells, and the file's name if the line has the entry; raises ValueError.

    `last` is what the line before told: an entry and a length that have not changed are not repeated.
    """
    message = json.loads(line)
    has_entry = "entry" in message
    now = Progress(
        generation=message["generation"],
        size=message["size"],
        entry=entry_from(message["entry"]) if has_entry else last.entry,
        length=message["length"] if has_entry else last.length,
        end=End(message["end"]) if "end" in message else None,
        error=_error_from(message["error"]) if "error" in message else None,
    )
    return now, message["partial"] if has_entry else None


def _error_from(told: list[str]) -> ProxyError:
    name, text, proxy_error = told
    return error_named(name)(text, proxy_error)
