"""What interception needs of a worker: the rules, and the TLS that clients are shown."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.front.interception.interception_rules import InterceptionRules
from pyproxycache.tls.leaf_tls import LeafTls


@dataclass(frozen=True, slots=True)
class Interception:
    """Which connections are intercepted, and the TLS of those; `tls` belongs to the poller."""

    rules: InterceptionRules
    tls: LeafTls
