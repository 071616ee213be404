"""What gates say of a request for a route before it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyproxycache.errors import ProxyError
from pyproxycache.facts import Facts
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Headers
from pyproxycache.response import Response
from pyproxycache.steps import Steps
from pyproxycache.url import Url


@dataclass(frozen=True, slots=True)
class Visitor:
    """A request that asks to be let in.

    `headers` and `url` are those that it is sent on with, as gates before have left them. `token` is what
    is known of the client's token, {} for nothing. `is_repeated`: no client makes it now, it is a refresh.
    """

    received: RawRequest
    headers: Headers
    token: Mapping[str, Any]
    url: Url
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request is let in, as this visitor; the client's answer gets the `fields`."""

    visitor: Visitor
    fields: tuple[tuple[str, str], ...] = ()


class RouteGate(Protocol):
    """Lets requests for a route in, or answers them itself; safe to call from any number of threads."""

    def admit(self, visitor: Visitor, facts: Facts) -> Steps[Admitted | Response]:
        """The visitor that is let in, or the answer that refuses it; raises ProxyError."""


def let_in(gates: Sequence[RouteGate], visitor: Visitor, facts: Facts) -> Steps[Admitted | Response]:
    """The visitor that all gates let in, with all their fields, or what the one answers that refuses it.

    Raises ProxyError.
    """
    fields: tuple[tuple[str, str], ...] = ()
    for gate in gates:
        try:
            admitted = yield from gate.admit(visitor, facts)
        except ProxyError as error:
            raise telling(error, fields) from error
        if not isinstance(admitted, Admitted):
            return admitted.with_lines(fields)
        visitor, fields = admitted.visitor, (*fields, *admitted.fields)
    return Admitted(visitor, fields)


def telling(error: ProxyError, fields: tuple[tuple[str, str], ...]) -> ProxyError:
    """The error with these fields for the client besides its own."""
    if not fields:
        return error
    mine = error.another()  # others may have got the same one
    mine.headers = (*error.headers, *fields)
    return mine
