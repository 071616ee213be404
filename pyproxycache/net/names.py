"""Host names looked up to addresses, with a deadline."""

from __future__ import annotations

import encodings.idna  # noqa: F401  (getaddrinfo would import it during the first request)
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyproxycache import clock
from pyproxycache.errors import UpstreamTimeout, UpstreamUnreachable, reason
from pyproxycache.net.recent_addresses import RecentAddresses

_FOUND_SECONDS = 10.0
_ANEW_SECONDS = 1.0
"""How old a result may be that does not have a wanted address."""
_FAILED_SECONDS = 1.0
_MOST = 1024
_AT_ONCE = 256
_OF_ONE_CLIENT = 64
"""Look-ups that may run for one client: unanswered names take long, and other clients need some too."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that a socket can be connected to; `where` is the tuple that its family takes."""

    family: int
    where: tuple[Any, ...]

    @property
    def host(self) -> str:
        """The IP address as text, without a zone."""
        return str(self.where[0]).partition("%")[0]


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The result of a look-up, found `at` then, and valid `until` then (monotonic)."""

    addresses: Sequence[Address]
    error: Exception | None
    at: float
    until: float


_Key = tuple[str, int]


class Names:
    """Looks names up in threads of their own, as the system's look-up has no time limit.

    Results are remembered for a short time, as the system does not tell the time to live. `_known`
    (results) and `_running` (the client for whom each name is being looked up) are guarded by `_changed`.
    `recent` has the addresses that were found, for longer.
    """

    def __init__(self, remembered: float = _FOUND_SECONDS, recent: RecentAddresses | None = None) -> None:
        self._remembered = remembered
        self._recent = RecentAddresses() if recent is None else recent
        self._changed = threading.Condition()
        self._known: dict[_Key, _Resolved] = {}
        self._running: dict[_Key, str] = {}

    def addresses(self, host: str, port: int, deadline: float, client: str = "") -> Sequence[Address]:
        """The host's addresses in the system's order; waits until the deadline (monotonic) at most.

        Raises UpstreamUnreachable if there are none, UpstreamTimeout after the deadline.
        """
        literal = _literal(host, port)
        found = (
            _Resolved(literal, None, 0.0, deadline)
            if literal
            else self._found((host, port), deadline, client)
        )
        if found is None:
            raise UpstreamTimeout(
                f"the name {host} was not looked up in time (fetch.connect_timeout)", "dns_timeout"
            )
        if found.error is not None:
            text = f"the name {host} does not resolve: {reason(found.error)}"
            raise UpstreamUnreachable(text, "dns_error") from found.error
        return found.addresses

    def has_lately(self, host: str, address: str) -> float | None:
        """Until when (monotonic) the host counts as having the IP address, by earlier look-ups; or None.

        A host that is an address in text form has that one for ever.
        """
        now = clock.steady()
        literal = _literal(host, 0)
        if literal:
            return now + _FOUND_SECONDS if any(one.host == address for one in literal) else None
        return self._recent.until(host, address, now)

    def find_out(self, host: str, address: str, deadline: float, client: str = "") -> float | None:
        """Until when (monotonic) the host counts as having the IP address, after a look-up; or None.

        Waits until the deadline (monotonic) at most. A host that does not resolve has no address.
        """
        begun = clock.steady()
        if not _literal(host, 0):
            self._found((host, 0), deadline, client, since=begun - _ANEW_SECONDS)
        return self.has_lately(host, address)

    def forget(self, host: str, port: int) -> None:
        """Forget the result for this name, as none of its addresses accepts a connection."""
        with self._changed:
            self._known.pop((host, port), None)

    def _found(
        self, key: _Key, deadline: float, client: str, since: float = float("-inf")
    ) -> _Resolved | None:
        """The result for the name, which was looked up after `since`; None if there is none in time."""
        begun = clock.steady()
        with self._changed:
            while (found := self._known.get(key)) is None or found.until < begun or found.at < since:
                left = max(0.0, deadline - clock.steady())
                if self._begin(key, client) and not self._changed.wait(left):
                    return None
            return found

    def _begin(self, key: _Key, client: str) -> bool:
        """Start to look the name up, unless that runs already or too many do; call with the lock held.

        False if the thread could not start, which is the result then.
        """
        if key in self._running or self._is_full(client):
            return True
        self._running[key] = client
        try:
            threading.Thread(target=self._look_up, args=(key,), name="names", daemon=True).start()
        except RuntimeError as error:  # there are no more threads
            self._learn(key, [], error)
            return False
        return True

    def _is_full(self, client: str) -> bool:
        running = self._running.values()
        return len(running) >= _AT_ONCE or sum(one == client for one in running) >= _OF_ONE_CLIENT

    def _look_up(self, key: _Key) -> None:
        host, port = key
        try:
            addresses, error = _resolved(host, port), None
        except Exception as failure:  # also a MemoryError: those who wait have to learn of it
            addresses, error = [], failure
        with self._changed:
            self._learn(key, addresses, error)

    def _learn(self, key: _Key, addresses: Sequence[Address], error: Exception | None) -> None:
        """Remember the result and wake those who wait; call with the lock held."""
        self._running.pop(key, None)
        self._known.pop(key, None)
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        seconds = self._remembered if error is None else min(self._remembered, _FAILED_SECONDS)
        now = clock.steady()
        self._known[key] = _Resolved(addresses, error, now, now + seconds)
        if addresses:
            self._recent.note(key[0], [address.host for address in addresses], now)
        self._changed.notify_all()


def _literal(host: str, port: int) -> Sequence[Address]:
    """The address, if the host is one in text form; () for a name."""
    try:
        return _resolved(host, port, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return ()


def _resolved(host: str, port: int, flags: int = 0) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    if not found:
        raise OSError("it has no address")
    return tuple(dict.fromkeys(Address(family, where) for family, _kind, _protocol, _name, where in found))
