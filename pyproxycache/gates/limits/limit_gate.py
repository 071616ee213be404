"""Lets requests pass as far as the limits of their route allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from pyproxycache.body import BytesBody
from pyproxycache.errors import BadRequest
from pyproxycache.gates.limits.client_behind import ClientBehind, peer_itself
from pyproxycache.gates.limits.counters import Charge, CountedLimit, Counters
from pyproxycache.gates.limits.limit_fields import limit_item, policy_item, quoted, whole_seconds
from pyproxycache.gates.limits.limit_rule import Ruling
from pyproxycache.gates.limits.limit_tally import UNCOUNTED, LimitTally
from pyproxycache.gates.limits.limited_values import LimitedRequest, values_by
from pyproxycache.messages import Head, Headers
from pyproxycache.response import Response
from pyproxycache.route_options.limits import LimitedBy

MOST_VALUES = 4
"""How many values of one request a limit counts by."""
MOST_LIMITS = 16
"""How many limits a route may have."""

_POLICY, _LIMIT = "RateLimit-Policy", "RateLimit"
LIMIT_FIELDS = frozenset((_POLICY.lower(), _LIMIT.lower()))
"""The names of the fields that tell of limits, in lower case."""


@dataclass(frozen=True, slots=True)
class WithinLimits:
    """The request passes; its answer has these fields, whatever it is."""

    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class OverLimit:
    """The request is refused, and has been counted by no limit; its answer has these fields.

    The next one would pass in so many `seconds`. `tallies` are those of the limits that refuse it.
    """

    fields: tuple[tuple[str, str], ...]
    seconds: int
    tallies: tuple[LimitTally, ...] = ()

    @property
    def response(self) -> Response:
        """The answer."""
        return _refusal(self.fields, self.seconds)


Count = Callable[[str], WithinLimits | OverLimit]
"""Counts a request by its client's IP address, unless a limit refuses it; raises BadRequest."""


@dataclass(frozen=True, slots=True)
class RouteLimit:
    """A limit of a route: its name there, what it counts by, and how it is counted.

    A limit that a route has inherited is counted together with that of the route that has it.
    """

    name: str
    by: tuple[LimitedBy, ...]
    counted: CountedLimit


class _Limit:
    """What is known of a limit before any request."""

    def __init__(self, limit: RouteLimit, client_behind: ClientBehind, tally: LimitTally) -> None:
        self.counted = limit.counted
        self.is_by_client = any(by.kind == "client" for by in limit.by)
        self.tally = tally
        self.values = [values_by(by, client_behind) for by in limit.by]
        self.quoted = quoted(limit.name)
        self.policy = policy_item(limit.name, limit.counted.rule)


class _Charges(NamedTuple):
    """What one request is counted by, and the limits of that."""

    limits: list[_Limit]
    counted: list[Charge]


_Rule = Callable[[_Charges], WithinLimits | OverLimit]


class LimitGate:
    """Counts the requests of a route by all its limits; safe to call from any number of threads.

    A request that has nothing of what a limit counts by is not limited by that. `secret` is what values are
    hashed with, so that they are nowhere in clear, and nobody can choose two that meet. `tallies` count
    what the limits with these names decide.
    """

    def __init__(
        self,
        limits: Sequence[RouteLimit],
        counters: Counters,
        secret: bytes,
        client_behind: ClientBehind = peer_itself,
        tallies: Mapping[str, LimitTally] = MappingProxyType({}),
    ) -> None:
        assert len(limits) <= MOST_LIMITS, "the configuration was checked"
        self._limits = [
            _Limit(limit, client_behind, tallies.get(limit.name, UNCOUNTED)) for limit in limits
        ]
        self._by_client = [limit for limit in self._limits if limit.is_by_client]
        self._not_by_client = [limit for limit in self._limits if not limit.is_by_client]
        self._counters = counters
        self._secret = secret

    def check(self, request: LimitedRequest) -> WithinLimits | OverLimit:
        """Count the request, unless a limit refuses it.

        Raises BadRequest if it has more than MOST_VALUES values of what one limit counts by.
        """
        return self._counted(self._charges(self._limits, request))

    def counting(self, headers: Headers, query: str | None, token: Mapping[str, Any]) -> Count:
        """What counts requests that differ in their clients alone, as `check` does; raises BadRequest."""
        return self._ruling(self._counted, headers, query, token)

    def looking(self, headers: Headers, query: str | None, token: Mapping[str, Any]) -> Count:
        """What gives what `counting` would, and counts nothing; raises BadRequest."""
        return self._ruling(self._looked, headers, query, token)

    def _ruling(self, rule: _Rule, headers: Headers, query: str | None, token: Mapping[str, Any]) -> Count:
        alike = self._charges(self._not_by_client, LimitedRequest("", headers, query, token))
        if not self._by_client:
            return lambda _client: rule(alike)

        def count(client: str) -> WithinLimits | OverLimit:
            by_client = self._charges(self._by_client, LimitedRequest(client, headers, query, token))
            return rule(_Charges(alike.limits + by_client.limits, alike.counted + by_client.counted))

        return count

    def _charges(self, limits: Sequence[_Limit], request: LimitedRequest) -> _Charges:
        """What the request is counted by; raises BadRequest."""
        of_limits = [(limit, value) for limit in limits for value in _different(limit, request)]
        return _Charges(
            [limit for limit, _value in of_limits],
            [Charge(limit.counted, self._hashed(value)) for limit, value in of_limits],
        )

    def _counted(self, charges: _Charges) -> WithinLimits | OverLimit:
        limits = charges.limits
        if not limits:
            return WithinLimits()
        found = _ruled(limits, self._counters.take(charges.counted))
        if isinstance(found, OverLimit):
            for tally in found.tallies:
                tally.refused(1)
        else:
            for limit in limits if len(limits) == 1 else set(limits):
                limit.tally.admitted(1)
        return found

    def _looked(self, charges: _Charges) -> WithinLimits | OverLimit:
        limits = charges.limits
        return _ruled(limits, self._counters.look(charges.counted)) if limits else WithinLimits()

    def _hashed(self, value: str) -> bytes:
        return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16, key=self._secret).digest()


def _different(limit: _Limit, request: LimitedRequest) -> Sequence[str]:
    if len(limit.values) == 1:
        values = (*limit.values[0](request),)
    else:
        values = (*chain.from_iterable(read(request) for read in limit.values),)
    if len(values) > 1:
        values = (*dict.fromkeys(values),)
        if len(values) > MOST_VALUES:
            raise BadRequest(f"the request has {len(values)} values of what a limit counts requests by")
    return values


def _ruled(limits: Sequence[_Limit], said: Sequence[Ruling]) -> WithinLimits | OverLimit:
    """What the rulings of these limits come to."""
    wait = max([taken.wait for taken in said])
    fields = _fields(limits, said, is_refused=wait > 0)
    if not wait:
        return WithinLimits(fields)
    refusing = dict.fromkeys(limit for limit, taken in zip(limits, said, strict=True) if taken.wait)
    return OverLimit(fields, whole_seconds(wait), tuple(limit.tally for limit in refusing))


def _fields(
    limits: Sequence[_Limit], said: Sequence[Ruling], *, is_refused: bool
) -> tuple[tuple[str, str], ...]:
    """What the limits say, the strictest first: the one with the fewest left, or who takes longest."""
    if len(limits) == 1:
        (limit,), (ruling,) = limits, said
        return ((_POLICY, limit.policy), (_LIMIT, limit_item(limit.quoted, ruling.left, ruling.reset)))
    # Where the request was not counted after all, one more is left.
    items = sorted(
        [
            (ruling.left + (is_refused and not ruling.wait), -ruling.reset, limit.quoted, limit.policy)
            for limit, ruling in zip(limits, said, strict=True)
        ]
    )
    strictest: dict[str, tuple[int, int, str, str]] = {}
    for item in items:  # a limit may have counted several values
        strictest.setdefault(item[2], item)
    items = [*strictest.values()]
    shown = ", ".join([limit_item(quoted, left, -reset) for left, reset, quoted, _policy in items])
    return ((_POLICY, ", ".join(sorted([item[3] for item in items]))), (_LIMIT, shown))


def _refusal(fields: tuple[tuple[str, str], ...], seconds: int) -> Response:
    body = f"too many requests: the next one is answered in {seconds} s\n".encode()
    headers = Headers(
        (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Retry-After", str(seconds)),
            *fields,
        )
    )
    return Response(Head(429, "", headers), BytesBody(body), len(body))
