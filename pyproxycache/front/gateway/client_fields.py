"""What of clients' fields routes take: nothing that passes for a gateway's own word, or takes it away."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.messages import Headers
from pyproxycache.rules.field_names import without_alike, without_respelled
from pyproxycache.rules.grammar import without_nominated


@dataclass(frozen=True, slots=True)
class ClientFields:
    """The names, in lower case, for which routes have a use.

    `set_by_gates` are fields that gates alone may set: those of clients are removed. `known` are others
    that routes go by or change, of which clients may only write the name itself.
    """

    set_by_gates: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()

    def taken(self, headers: Headers) -> Headers:
        """The fields as routes and their upstreams see them.

        What Connection names ends here, and not what is added under such a name (RFC 9110 section 7.6.1).
        """
        headers = without_nominated(headers)
        return without_respelled(without_alike(headers, self.set_by_gates), self.known)
