"""Between worker processes: a leader's progress, pushed to its followers through a Unix socket.

Each process listens on one abstract socket. A follower's process connects, names the flight, and gets
the file's descriptor, once there is a file, and then a line for each change, or an empty one now and then
as a sign of life. The end of the stream without a last line means that the leader's process is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import ProxyError, error_named
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight import End, Flight, Orphaned, Progress
from pyproxycache.store.index.rows import entry_from, row_of

_FILE_COMES = b"file\n"
_BEAT = b"\n"
_BEATS = 4
"""Signs of life in the time after which a follower takes over."""
_BACK_OFF = 0.1
_EXIT_WAIT_MS = 5000
_SMALL = 64 << 10


@dataclass(frozen=True, slots=True)
class Terms:
    """So many seconds without a sign of life, or without progress, take a key from a leader elsewhere."""

    silence: float
    lease: float


class FlightServer:
    """Serves this process's flights to the other ones; only processes of the same user are answered.

    `find` gives the flight of a token, or without one that of a key. A follower that hears nothing for
    `silence` seconds takes over.
    """

    def __init__(
        self, address: str, find: Callable[[str, FlightKey], Flight | None], silence: float
    ) -> None:
        self._find = find
        self._beat = silence / _BEATS
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind("\0" + address)
        except OSError:
            # Somebody has the name: who follows is told to look again, and goes alone in the end.
            self._socket.bind(f"\0{address}-{secrets.token_hex(8)}")
        self._socket.listen(4096)  # a full queue refuses at once
        threading.Thread(target=self._accept, name="feed", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                follower, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(follower,), name="feed-out", daemon=True).start()
            except (OSError, RuntimeError):
                # Out of descriptors or threads, which others have to give back first; or closed.
                self._closed.wait(_BACK_OFF)

    def _serve(self, follower: socket.socket) -> None:
        with follower, contextlib.suppress(OSError, ValueError):
            follower.settimeout(10)
            if _user(follower) != os.geteuid():
                return
            flight = self._find(*_asked_for(_line(follower)))
            follower.settimeout(None)
            if flight is None:
                follower.sendall(_encode(Progress(end=End.LOST)))
                return
            with flight.followed():
                self._push(flight, follower)

    def _push(self, flight: Flight, follower: socket.socket) -> None:
        """Send each change, the newest state only, until the flight ends."""
        while not flight.wait_file(self._beat):
            follower.sendall(_BEAT)
        try:
            fd, file = flight.open_again()
        except Orphaned:
            # What ended before there was a file has been told; else it is to be looked for elsewhere.
            ended = flight.progress()
            told = ended if ended.entry is None and ended.end is not None else Progress(end=End.LOST)
            follower.sendall(_encode(told))
            return
        try:
            socket.send_fds(follower, [_FILE_COMES], [fd])
        finally:
            os.close(fd)
        seen: Progress | None = None
        entry_sent = None
        while seen is None or seen.end is None:
            now = flight.wait_change(seen, self._beat)
            if now is seen:
                follower.sendall(_BEAT)
                continue
            seen = now
            if seen.file != file:
                seen = Progress(end=End.LOST)  # goes on in another file, or in none
            partial = flight.partial if seen.entry is not entry_sent else None
            follower.sendall(_encode(seen, partial))
            entry_sent = seen.entry


class RemoteFlightReader:
    """Follows another process's flight and publishes it as a flight of this one.

    `done` is called before the end is published; with True where the leader lives but was silent, or did
    not get on, for longer than the terms allow.
    """

    def __init__(
        self, flight: Flight, owner: str, terms: Terms, done: Callable[[Flight, bool], None]
    ) -> None:
        self._flight = flight
        self._owner = owner
        self._terms = terms
        self._done = done
        self._is_left = False  # by the readers of this process, who were all it listened for

    def start(self) -> None:
        threading.Thread(target=self._run, name="feed-in", daemon=True).start()

    def _run(self) -> None:
        last, expired = None, False
        try:
            last = self._follow()
        except TimeoutError:
            expired = True
        finally:
            self._done(self._flight, expired)
            self._end(last or self._ended(End.LOST))
            self._flight.leave()

    def _end(self, last: Progress) -> None:
        # Who waited for the head of a small body reads it after its end, when the file is let go of.
        small = last.end in (End.STORED, End.UNSTORED) and last.size <= _SMALL
        body = self._flight.content(last.size) if small else None
        if body is not None:
            self._flight.end_whole(body, last)
        else:
            self._flight.publish(last)

    def _follow(self) -> Progress:
        """Publish until the flight ends; gives its last state, raises TimeoutError after the lease."""
        try:
            process = os.pidfd_open(int(self._owner.split("-")[1]))
        except OSError:
            return self._ended(End.ORPHANED)
        try:
            try:
                last = self._connect()
            except TimeoutError:
                raise
            except OSError:
                last = None
            if last is not None:
                return last
            if self._is_left:
                return self._ended(End.LOST)
            # Nobody there, or no more: once the process is gone for sure its lock on the file is free.
            poll = select.poll()
            poll.register(process, select.POLLIN)
            return self._ended(End.ORPHANED if poll.poll(_EXIT_WAIT_MS) else End.LOST)
        finally:
            os.close(process)

    def _connect(self) -> Progress | None:
        with socket.socket(socket.AF_UNIX) as leader:
            leader.settimeout(min(self._terms.silence, self._terms.lease))
            leader.connect("\0" + self._owner)
            if _user(leader) != os.geteuid():
                return self._ended(End.LOST)
            leader.sendall(_question(self._flight))
            self._flight.tell_of_readers(lambda is_read: None if is_read else self._leave(leader))
            return self._receive(leader)

    def _leave(self, leader: socket.socket) -> None:
        """Stop listening to a part's download, which goes on only as long as somebody reads it."""
        entry = self._flight.progress().entry
        if entry is not None and entry.part is not None and self._flight.close_if_left():
            self._is_left = True
            with contextlib.suppress(OSError):  # it has ended in the meantime
                leader.shutdown(socket.SHUT_RDWR)

    def _ended(self, end: End) -> Progress:
        return replace(self._flight.progress(), end=end)

    def _receive(self, leader: socket.socket) -> Progress | None:
        """Publish line by line; gives the last one, unpublished, or None if the stream ends before it."""
        buffer, has_file, moved = b"", False, clock.steady()
        while True:
            more, fds, _, _ = socket.recv_fds(leader, 65536, 1, socket.MSG_CMSG_CLOEXEC)
            if not more:
                return None
            if fds:
                has_file = True
                self._flight.open_file(fds[0])
            *lines, buffer = (buffer + more).split(b"\n")
            for line in filter(None, lines):
                moved = clock.steady()
                if line == _FILE_COMES[:-1]:
                    if not has_file:
                        return self._ended(End.LOST)  # this process is out of descriptors
                    continue
                now = self._decode(line)
                if now.end is not None:
                    return now
                self._flight.publish(now)
            if clock.steady() - moved > self._terms.lease:
                raise TimeoutError("the leader does not get on")

    def _decode(self, line: bytes) -> Progress:
        message, last, claim = json.loads(line), self._flight.progress(), self._flight.claim
        if "entry" in message and claim is not None:
            self._flight.claim = replace(claim, partial=message["partial"])
        entry = entry_from(message["entry"]) if "entry" in message else last.entry
        return Progress(
            generation=message["generation"],
            size=message["size"],
            entry=entry,
            length=message["length"] if "entry" in message else last.length,
            end=End(message["end"]) if "end" in message else None,
            error=_error_from(message["error"]) if "error" in message else None,
        )


def _line(connection: socket.socket) -> str:
    """What comes up to the end of a line."""
    received = b""
    while not received.endswith(b"\n"):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the follower has gone")
        received += more
    return received[:-1].decode()


def _question(flight: Flight) -> bytes:
    """The line by which a follower asks for a flight."""
    key = flight.key
    return json.dumps((flight.token, key.cache_key, key.variant)).encode() + b"\n"


def _asked_for(line: str) -> tuple[str, FlightKey]:
    """The token and the key in such a line; raises ValueError."""
    token, cache_key, variant = json.loads(line)
    return token, FlightKey.of(cache_key, variant)


def _user(connection: socket.socket) -> int:
    """The user id at the other end of a Unix socket."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, user, _group = struct.unpack("3i", found)
    return int(user)


def _encode(progress: Progress, partial: str | None = None) -> bytes:
    """A line; with the name of the file where the entry is to be told."""
    message: dict[str, object] = {"generation": progress.generation, "size": progress.size}
    if partial is not None and progress.entry is not None:
        message |= {"entry": row_of(progress.entry), "length": progress.length, "partial": partial}
    if progress.end is not None:
        message["end"] = progress.end.value
    if progress.error is not None:
        error = progress.error
        message["error"] = [type(error).__name__, str(error), error.proxy_error]
    return json.dumps(message).encode() + b"\n"


def _error_from(told: list[str]) -> ProxyError:
    name, text, proxy_error = told
    return error_named(name)(text, proxy_error)
