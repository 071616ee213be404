"""Between worker processes: a leader's progress, pushed to its followers through a Unix socket.

Each process listens on one abstract socket. A follower's process connects, names a token, and gets
the file's descriptor and then a line for each change; the end of the stream without a last line
means that the leader's process is gone.
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

from pyproxycache.errors import BrokenOff, Forbidden, ProxyError, UpstreamError, UpstreamTimeout
from pyproxycache.store.flight import End, Flight, Progress
from pyproxycache.store.index import entry_from, row_of

_ERRORS: dict[str, type[ProxyError]] = {
    error.__name__: error for error in (BrokenOff, Forbidden, UpstreamError, UpstreamTimeout)
}
_EXIT_WAIT_MS = 5000


class Feed:
    """Serves this process's flights to the other ones; only processes of the same user are answered."""

    def __init__(self, find: Callable[[str], Flight | None]) -> None:
        self._find = find
        self.address = f"pyproxycache-{os.getpid()}-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind("\0" + self.address)
        self._socket.listen(512)
        threading.Thread(target=self._accept, name="feed", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                follower, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(follower,), name="feed-out", daemon=True).start()

    def _serve(self, follower: socket.socket) -> None:
        with follower, contextlib.suppress(OSError):
            follower.settimeout(10)
            if _peer(follower)[1] != os.geteuid():
                return
            flight = self._find(follower.recv(64).decode("ascii", "replace"))
            follower.settimeout(None)
            if flight is None:
                follower.sendall(_encode(Progress(end=End.LOST)))
                return
            self._push(flight, follower)

    def _push(self, flight: Flight, follower: socket.socket) -> None:
        """Send each change, the newest state only, until the flight ends."""
        try:
            fd = flight.follow_remotely()
        except FileNotFoundError:
            follower.sendall(_encode(Progress(end=End.LOST)))
            return
        try:
            socket.send_fds(follower, [b"\n"], [fd])
        finally:
            os.close(fd)
        seen: Progress | None = None
        entry_sent = None
        while seen is None or seen.end is None:
            seen = flight.wait(seen)
            if not seen.in_file:
                seen = Progress(end=End.LOST)
            follower.sendall(_encode(seen, with_entry=seen.entry is not entry_sent))
            entry_sent = seen.entry


class Mirror:
    """Follows another process's flight and publishes it as a flight of this one."""

    def __init__(self, flight: Flight, owner: str, lease: float, done: Callable[[Flight], None]) -> None:
        self._flight = flight
        self._owner = owner
        self._lease = lease
        self._done = done
        threading.Thread(target=self._run, name="feed-in", daemon=True).start()

    def _run(self) -> None:
        end = End.LOST
        try:
            end = self._follow()
        finally:
            self._done(self._flight)
            last = self._flight.progress()
            if last.end is None:
                self._flight.publish(Progress(last.generation, last.size, last.entry, last.length, end))
            self._flight.leave()

    def _follow(self) -> End:
        """Publish until the flight ends; gives the end for a stream that stopped without one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as leader:
            leader.settimeout(self._lease)
            try:
                leader.connect("\0" + self._owner)
                pid, user = _peer(leader)
                if user != os.geteuid():
                    return End.LOST
                exited = os.pidfd_open(pid)
            except OSError:
                return End.LOST
            try:
                with contextlib.suppress(OSError):
                    leader.sendall(self._flight.token.encode("ascii"))
                    if self._receive(leader):
                        return End.LOST
                # The stream ended; once the process is gone for sure its lock on the file is free.
                poll = select.poll()
                poll.register(exited, select.POLLIN)
                return End.ORPHANED if poll.poll(_EXIT_WAIT_MS) else End.LOST
            finally:
                os.close(exited)

    def _receive(self, leader: socket.socket) -> bool:
        """Publish line by line; True when the last line was there."""
        buffer, fds, _, _ = socket.recv_fds(leader, 65536, 1, socket.MSG_CMSG_CLOEXEC)
        if fds:
            self._flight.open_file(fds[0])
        while True:
            *lines, buffer = buffer.split(b"\n")
            for line in filter(None, lines):
                now = _decode(line, self._flight.progress())
                self._flight.publish(now)
                if now.end is not None:
                    return True
            more = leader.recv(65536)
            if not more:
                return False
            buffer += more


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user id at the other end of a Unix socket."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _group = struct.unpack("3i", found)
    return pid, user


def _encode(progress: Progress, *, with_entry: bool = False) -> bytes:
    message: dict[str, object] = {"generation": progress.generation, "size": progress.size}
    if with_entry and progress.entry is not None:
        message["entry"] = row_of(progress.entry)
        message["length"] = progress.length
    if progress.end is not None:
        message["end"] = progress.end.value
    if progress.error is not None:
        kind = type(progress.error).__name__
        message["error"] = [kind if kind in _ERRORS else UpstreamError.__name__, str(progress.error)]
    return json.dumps(message).encode() + b"\n"


def _decode(line: bytes, last: Progress) -> Progress:
    message = json.loads(line)
    entry = entry_from(message["entry"]) if "entry" in message else last.entry
    kind, text = message.get("error", (None, ""))
    return Progress(
        generation=message["generation"],
        size=message["size"],
        entry=entry,
        length=message["length"] if "entry" in message else last.length,
        end=End(message["end"]) if "end" in message else None,
        error=_ERRORS[kind](text) if kind else None,
    )
