"""The gate for users of this machine: whose programs may connect."""

from __future__ import annotations

import logging
import pwd
import socket
from collections.abc import Iterable

from pyproxycache.errors import ConfigError, reason
from pyproxycache.gates.own_clients import is_of_this_machine
from pyproxycache.net.socket_owner import peer_owner

log = logging.getLogger("pyproxycache")

_ROOT = 0


def account_ids(accounts: Iterable[str]) -> frozenset[int]:
    """The user ids of the accounts, which are names or ids; raises ConfigError for unknown names."""
    found, unknown = set(), []
    for account in accounts:
        try:
            found.add(int(account) if account.isdecimal() else pwd.getpwnam(account).pw_uid)
        except KeyError:
            unknown.append(account)
    if unknown:
        lines = [f"allow_accounts: this machine has no user {name!r}" for name in unknown]
        raise ConfigError("\n".join(lines))
    return frozenset(found)


class AccountGate:
    """Admits connections that come from another machine, or from programs of some users of this one.

    Programs of root are always admitted. Used by the poller alone.
    """

    def __init__(self, allowed: frozenset[int]) -> None:
        self._allowed = allowed | {_ROOT}

    def admits(self, sock: socket.socket) -> bool:
        """Whether the accepted connection may ask anything; a refusal is logged."""
        try:
            owner = peer_owner(sock)
        except OSError as error:
            log.warning(
                "a connection is refused, as the kernel does not tell whose it is: %s", reason(error)
            )
            return False
        if owner is None:
            return not is_of_this_machine(sock)
        if owner not in self._allowed:
            log.warning("a connection of the user %s is refused (allow_accounts)", _account(owner))
            return False
        return True


def _account(owner: int) -> str:
    try:
        return f"{pwd.getpwuid(owner).pw_name} ({owner})"
    except KeyError:
        return str(owner)
