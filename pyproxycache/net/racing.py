"""Several addresses of one host, raced: the first that lets us in (RFC 8305)."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from pyproxycache import clock
from pyproxycache.net.names import Address

HEAD_START = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305 section 5)."""

_PROBES = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_SUSPECT_SECONDS = 60.0
_MOST_SUSPECTS = 1024


@dataclass(frozen=True, slots=True)
class Raced:
    """The socket of the address that won, in non-blocking mode, None where none did.

    `failed` are those that did not let us in, or had not when their head start was over, with the reason.
    """

    winner: tuple[Address, socket.socket] | None
    failed: dict[Address, OSError]


def race(addresses: Sequence[Address], deadline: float) -> Raced:
    """Connect to the first of the addresses that accepts, before the deadline (monotonic)."""
    field = _Field()
    waiting = list(addresses)
    next_start = 0.0
    try:
        while (waiting or field.running) and field.winner is None and (now := clock.steady()) < deadline:
            if waiting and (not field.running or now >= next_start):
                field.start(waiting.pop(0), now)
                next_start = now + HEAD_START
            elif field.wait((min(next_start, deadline) if waiting else deadline) - now):
                next_start = now  # one fewer is running
        return Raced(field.winner, field.all_failed(clock.steady()))
    finally:
        field.close()


def probe_when_silent(sock: socket.socket) -> None:
    """Have the kernel find out within two minutes that a silent peer is gone; of TCP sockets alone."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class _Field:
    """The attempts that are under way, by descriptor."""

    def __init__(self) -> None:
        self.running: dict[int, tuple[Address, socket.socket, float]] = {}
        self.winner: tuple[Address, socket.socket] | None = None
        self._failed: dict[Address, OSError] = {}
        self._poll = select.poll()

    def start(self, address: Address, now: float) -> None:
        """Begin to connect."""
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            self._failed[address] = error
            return
        self.running[sock.fileno()] = address, sock, now
        self._poll.register(sock, select.POLLOUT)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        probe_when_silent(sock)
        code = sock.connect_ex(address.where)
        if code not in (0, errno.EINPROGRESS):
            self._end(sock.fileno(), code)

    def wait(self, seconds: float) -> bool:
        """Wait for an attempt to end; whether one did."""
        found = self._poll.poll(math.ceil(max(0.0, seconds) * 1000))
        for descriptor, _events in found:
            sock = self.running[descriptor][1]
            self._end(descriptor, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        return bool(found)

    def all_failed(self, now: float) -> dict[Address, OSError]:
        """Those that failed, and those that were silent for as long as they had to themselves."""
        silent = (a for a, _sock, since in self.running.values() if now - since >= HEAD_START)
        return {**{address: TimeoutError("no answer") for address in silent}, **self._failed}

    def close(self) -> None:
        """Give up what is still under way."""
        for _address, sock, _since in self.running.values():
            sock.close()

    def _end(self, descriptor: int, code: int) -> None:
        address, sock, _since = self.running.pop(descriptor)
        self._poll.unregister(descriptor)
        if code == 0 and self.winner is None:
            self.winner = address, sock
            return
        sock.close()
        if code:
            self._failed[address] = OSError(code, os.strerror(code))


class Suspects:
    """Addresses that lately did not let us in, which others are tried before; guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[Address, float] = {}

    def note(self, addresses: Iterable[Address]) -> None:
        """Put them behind the others for a while."""
        until = clock.steady() + _SUSPECT_SECONDS
        with self._lock:
            for address in addresses:
                self._until.pop(address, None)
                if len(self._until) >= _MOST_SUSPECTS:
                    del self._until[next(iter(self._until))]
                self._until[address] = until

    def clear(self, address: Address) -> None:
        """It let us in."""
        with self._lock:
            self._until.pop(address, None)

    def last(self, addresses: Sequence[Address]) -> list[Address]:
        """The addresses, families taking turns (RFC 8305 section 4), and suspects behind all others."""
        now = clock.steady()
        with self._lock:
            suspects = {address for address in addresses if self._until.get(address, 0.0) > now}
        return sorted(_interleaved(addresses), key=suspects.__contains__)


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    by_family: dict[int, list[Address]] = {}
    for address in addresses:
        by_family.setdefault(address.family, []).append(address)
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return [address for address in turns if address is not None]
