"""Follows a flight that another process leads, and publishes it as a flight of this process."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.flights.progress_lines import FILE_COMES, decode, question, user_of
from pyproxycache.store.values import End, Progress

_EXIT_WAIT_MS = 5000
_SMALL = 64 << 10


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds without a sign of life, or without progress, after which a leader elsewhere loses its key."""

    silence: float
    lease: float


class RemoteFlightReader:
    """Follows another process's flight and publishes it as a flight of this one.

    `done` is called before the end is published; with True where the leader lives but was silent, or did
    not get on, for longer than the terms allow.
    """

    def __init__(
        self, flight: LocalFlight, owner: str, terms: Terms, done: Callable[[LocalFlight, bool], None]
    ) -> None:
        self._flight = flight
        self._owner = owner
        self._terms = terms
        self._done = done
        self._is_left = False  # by the readers of this process, who were all it listened for

    def start(self) -> None:
        """Follow the flight, on a thread of its own; raises StoreError where there can be none."""
        try:
            threading.Thread(target=self._run, name="flight-in", daemon=True).start()
        except RuntimeError as error:
            raise StoreError(f"no flight of another process can be followed: {error}") from error

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
        """Publish the progress until the flight ends, and give the last one, unpublished.

        Raises TimeoutError if the leader was silent, or did not get on, for too long.
        """
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
            if user_of(leader) != os.geteuid():
                return self._ended(End.LOST)
            leader.sendall(question(self._flight.token, self._flight.key))
            self._flight.tell_of_readers(lambda is_read: None if is_read else self._leave(leader))
            return self._receive(leader)

    def _leave(self, leader: socket.socket) -> None:
        """Stop following the download of a part when nobody here reads it, so that it may end."""
        entry = self._flight.progress().entry
        if entry is not None and entry.part is not None and self._flight.close_if_left():
            self._is_left = True
            with contextlib.suppress(OSError):  # it has ended in the meantime
                leader.shutdown(socket.SHUT_RDWR)

    def _ended(self, end: End) -> Progress:
        return replace(self._flight.progress(), end=end)

    def _receive(self, leader: socket.socket) -> Progress | None:
        """Publish what each line tells, but give the end unpublished; None if no line has it."""
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
                if line == FILE_COMES[:-1]:
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
        now, partial = decode(line, self._flight.progress())
        if partial is not None and self._flight.claim is not None:
            self._flight.claim = replace(self._flight.claim, partial=partial)
        return now
