"""Connecting to several addresses of one host in parallel; the first that accepts wins (RFC 8305)."""

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
"""Seconds that an address has before the next one is tried in parallel (RFC 8305 section 5)."""

_PROBES = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_SUSPECT_SECONDS = 60.0
_MOST_SUSPECTS = 1024


@dataclass(frozen=True, slots=True)
class Raced:
    """The result of a race: the address that accepted first with its non-blocking socket; None if none did.

    `failed` maps the addresses that refused, or did not answer within their head start, to the reason.
    """

    winner: tuple[Address, socket.socket] | None
    failed: dict[Address, OSError]


def race(addresses: Sequence[Address], deadline: float) -> Raced:
    """Connect to the first of the addresses that accepts, before the deadline (monotonic)."""
    attempts = _Attempts()
    waiting = list(addresses)
    next_start = 0.0
    try:
        while (waiting or attempts.running) and not attempts.winner and (now := clock.steady()) < deadline:
            if waiting and (not attempts.running or now >= next_start):
                attempts.start(waiting.pop(0), now)
                next_start = now + HEAD_START
            elif attempts.wait((min(next_start, deadline) if waiting else deadline) - now):
                next_start = now  # one failed: the next one starts at once
        return Raced(attempts.winner, attempts.failed(clock.steady()))
    finally:
        attempts.close()


def probe_when_silent(sock: socket.socket) -> None:
    """Have the kernel probe a silent peer (TCP keep-alive) and fail the socket within two minutes."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class _Attempts:
    """The attempts to connect: those that run, by descriptor, and those that have ended."""

    def __init__(self) -> None:
        self.running: dict[int, tuple[Address, socket.socket, float]] = {}
        self.winner: tuple[Address, socket.socket] | None = None
        self._failed: dict[Address, OSError] = {}
        self._poll = select.poll()

    def start(self, address: Address, now: float) -> None:
        """Begin to connect to the address."""
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
        """Wait until an attempt ends; false if none did in that time."""
        found = self._poll.poll(math.ceil(max(0.0, seconds) * 1000))
        for descriptor, _events in found:
            sock = self.running[descriptor][1]
            self._end(descriptor, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        return bool(found)

    def failed(self, now: float) -> dict[Address, OSError]:
        """The addresses that refused, and those that did not answer within their head start."""
        silent = (a for a, _sock, since in self.running.values() if now - since >= HEAD_START)
        return {**{address: TimeoutError("no answer") for address in silent}, **self._failed}

    def close(self) -> None:
        """Give up the attempts that still run."""
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
    """Addresses that failed lately and are tried after others; `_until` is guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[Address, float] = {}

    def note(self, addresses: Iterable[Address]) -> None:
        """Suspect the addresses for a minute, as they did not accept a connection."""
        until = clock.steady() + _SUSPECT_SECONDS
        with self._lock:
            for address in addresses:
                self._until.pop(address, None)
                if len(self._until) >= _MOST_SUSPECTS:
                    del self._until[next(iter(self._until))]
                self._until[address] = until

    def clear(self, address: Address) -> None:
        """Trust the address again, as it accepted a connection."""
        with self._lock:
            self._until.pop(address, None)

    def last(self, addresses: Sequence[Address]) -> list[Address]:
        """The addresses in the order to try: families in turn (RFC 8305 section 4), suspects last."""
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
