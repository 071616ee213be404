"""Hosts that cannot be intercepted for a while, as their clients or they themselves have shown."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

from pyproxycache.net.ip_addresses import client_of

_FIRST_SECONDS, _SECONDS = 300.0, 3600.0
"""How long a client is left alone once it is found to be pinned, and at each refusal after that."""
_REFUSALS = 3
"""So many in an hour show that a client is pinned to other certificates; one may be somebody trying out."""
_MOST = 10_000

_Pair = tuple[str, str]
_Key = TypeVar("_Key", str, _Pair)
_Value = TypeVar("_Value")


class _Table(OrderedDict[_Key, _Value], Generic[_Key, _Value]):
    """A bounded table, which forgets what was noted longest ago."""

    def note(self, key: _Key, value: _Value) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _MOST:
            self.popitem(last=False)


class _Refusals(NamedTuple):
    """How often one client has refused the leaf of one host, and since and until when that counts."""

    times: int
    since: float
    until: float = 0.0


class Exclusions:
    """What was learned of hosts that cannot be intercepted; each worker learns by itself.

    Clients are told apart as by limits (client_of). Times are monotonic seconds. The lock guards all
    tables.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refusals: _Table[_Pair, _Refusals] = _Table()
        self._accepted: _Table[_Pair, float] = _Table()  # when they last have
        self._wanting: _Table[str, float] = _Table()  # hosts, and since when
        self._examined: _Table[str, float] = _Table()  # hosts, and when they last were

    def refused(self, client: str, host: str, now: float) -> float:
        """Note that the client has refused the host's leaf.

        Returns for how many seconds that excludes the pair: 0 if it does not, or did so already.
        """
        with self._lock:
            return self._counted((client_of(client), host), now)

    def left(self, client: str, host: str, now: float) -> float:
        """Note that the client has gone once it had seen the host's leaf, without asking for anything.

        So do clients that compare it with the one they expect after the handshake. Returns what refused()
        does. Who has accepted the leaf within the hour may just have connected once too often.
        """
        pair = client_of(client), host
        with self._lock:
            if _is_recent(self._accepted.get(pair), now):
                return 0.0
            return self._counted(pair, now)

    def accepted(self, client: str, host: str, now: float) -> None:
        """Note that the client has accepted the host's leaf, which its other programs may not have."""
        pair = client_of(client), host
        with self._lock:
            found = self._refusals.get(pair)
            if found is not None and found.times < _REFUSALS:
                del self._refusals[pair]
            self._accepted.note(pair, now)

    def wants_certificate(self, host: str, now: float) -> None:
        """Note that the host asks for a client's certificate, which only the client has."""
        with self._lock:
            self._wanting.note(host, now)

    def is_to_be_examined(self, host: str, now: float) -> bool:
        """Whether to find out now if the host asks for certificates: once an hour, not at each refusal."""
        with self._lock:
            if _is_recent(self._examined.get(host), now):
                return False
            self._examined.note(host, now)
            return True

    def why(self, client: str, host: str, now: float) -> str:
        """Why the host is excluded for the client; "" if it is not."""
        with self._lock:
            if _is_recent(self._wanting.get(host), now):
                return "client-certificate-wanted"
            refusals = self._refusals.get((client_of(client), host))
            return "leaf-refused" if refusals is not None and now < refusals.until else ""

    def _counted(self, pair: _Pair, now: float) -> float:
        """Count one more refusal; returns for how many seconds that excludes the pair."""
        before = self._refusals.get(pair)
        if before is not None and now < before.until:  # a connection that was under way
            return 0.0
        if before is None or now - max(before.since, before.until) >= _SECONDS:
            before = _Refusals(0, now)
        times, seconds = before.times + 1, 0.0
        if times >= _REFUSALS:
            seconds = _FIRST_SECONDS if times == _REFUSALS else _SECONDS
        self._refusals.note(pair, _Refusals(times, before.since, now + seconds if seconds else 0.0))
        return seconds


def _is_recent(moment: float | None, now: float) -> bool:
    return moment is not None and now - moment < _SECONDS
