"""Builds the gate for the users of this proxy, and has their file looked at."""

from __future__ import annotations

import logging
from dataclasses import replace

from pyproxycache.background import Background, Rounds
from pyproxycache.errors import ConfigError
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.gates.authentication import Authentication
from pyproxycache.gates.htpasswd import UsersFile
from pyproxycache.options import ProxyAuthOptions

log = logging.getLogger("pyproxycache")

_LOOK_SECONDS = 1.0


def users_file(options: ProxyAuthOptions | None) -> UsersFile | None:
    """The file of users, read; None if nobody has to log in. Raises ConfigError."""
    return None if options is None else UsersFile(options.users)


def build_authentication(options: ProxyAuthOptions, file: UsersFile) -> Authentication:
    """Build the gate, which knows the users that the file has now."""
    from bcrypt import checkpw  # a library of native code, which only those load who need it

    return Authentication(file.users, options.realm, checkpw)


def with_changes(parts: WorkerParts, file: UsersFile, authentication: Authentication) -> WorkerParts:
    """Have a thread tell the gate of changes of the file, until the parts are closed."""

    def look() -> None:
        try:
            if file.look():
                authentication.adopt(file.users)
        except ConfigError:
            pass  # the master, which looks too, says so once for all workers

    rounds = Rounds((look,), Background("users", log, lambda _counts: None), "users", _LOOK_SECONDS)
    close = parts.hooks.close

    def close_all(seconds: float) -> None:
        rounds.close()
        close(seconds)

    rounds.start()
    return replace(parts, hooks=replace(parts.hooks, close=close_all))


def look_for_all(file: UsersFile) -> None:
    """Look at the file for the workers to come, and log what all workers find too."""
    try:
        if file.look():
            log.info("the users have changed; there are %d now", len(file.users))
    except ConfigError as error:
        for line in str(error).splitlines():
            log.error("the users stay as they were: %s", line)
