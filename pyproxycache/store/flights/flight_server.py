"""Serves the flights that this process leads to the processes that follow them, through a Unix socket."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable

from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.flights.progress_lines import BEAT, FILE_COMES, asked_for, encode, user_of
from pyproxycache.store.values import End, Orphaned, Progress

_BEATS = 4
"""Signs of life in the time after which a follower takes over."""
_BACK_OFF = 0.1


class FlightServer:
    """Tells other processes of the same user how far the flights of this process are.

    `find` gives the flight of a token, or without one that of a key. A follower that hears nothing for
    `silence` seconds takes over.
    """

    def __init__(
        self, address: str, find: Callable[[str, FlightKey], LocalFlight | None], silence: float
    ) -> None:
        self._find = find
        self._beat = silence / _BEATS
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind("\0" + address)
        except OSError:
            # Somebody else has the name: followers find no flight there, and ask the origin in the end.
            self._socket.bind(f"\0{address}-{secrets.token_hex(8)}")
        self._socket.listen(4096)  # a full queue refuses at once
        threading.Thread(target=self._accept, name="flight-server", daemon=True).start()

    def close(self) -> None:
        """Stop taking followers; those that are served are served to the end."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                follower, _ = self._socket.accept()
                threading.Thread(
                    target=self._serve, args=(follower,), name="flight-out", daemon=True
                ).start()
            except (OSError, RuntimeError):
                # Out of descriptors or threads, which others have to give back first; or closed.
                self._closed.wait(_BACK_OFF)

    def _serve(self, follower: socket.socket) -> None:
        with follower, contextlib.suppress(OSError, ValueError):
            follower.settimeout(10)
            if user_of(follower) != os.geteuid():
                return
            flight = self._find(*asked_for(_line(follower)))
            follower.settimeout(None)
            if flight is None:
                follower.sendall(encode(Progress(end=End.LOST)))
                return
            with flight.followed():
                self._push(flight, follower)

    def _push(self, flight: LocalFlight, follower: socket.socket) -> None:
        """Send the file and then the newest progress after each change, until the flight ends."""
        while not flight.wait_file(self._beat):
            follower.sendall(BEAT)
        try:
            fd, file = flight.open_again()
        except Orphaned:
            # What ended before there was a file has been told; else it is to be looked for elsewhere.
            ended = flight.progress()
            told = ended if ended.entry is None and ended.end is not None else Progress(end=End.LOST)
            follower.sendall(encode(told))
            return
        try:
            socket.send_fds(follower, [FILE_COMES], [fd])
        finally:
            os.close(fd)
        seen: Progress | None = None
        entry_sent = None
        while seen is None or seen.end is None:
            now = flight.wait_change(seen, self._beat)
            if now is seen:
                follower.sendall(BEAT)
                continue
            seen = now
            if seen.file != file:
                seen = Progress(end=End.LOST)  # goes on in another file, or in none
            partial = flight.partial if seen.entry is not entry_sent else None
            follower.sendall(encode(seen, partial))
            entry_sent = seen.entry


def _line(connection: socket.socket) -> str:
    """The next line of the stream; raises ConnectionError where it ends before."""
    received = b""
    while not received.endswith(b"\n"):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the follower has gone")
        received += more
    return received[:-1].decode()
