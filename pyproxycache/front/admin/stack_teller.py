"""What the threads of other workers are doing: each worker tells it to the others of its server."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading

from pyproxycache.front.admin.own_stacks import own_stacks
from pyproxycache.net.socket_owner import peer_owner

log = logging.getLogger("pyproxycache")

_SECONDS = 2.0
_REST = 0.1
_PIECE = 64 << 10


def teller_address(name: str, pid: int) -> str:
    """The address, of no file, at which that worker of the server with this name tells its stacks."""
    return f"\0pyproxycache-stacks-{name}-{pid}"


class StackTeller:
    """Tells the stacks of this worker, on a thread of its own that ends with it.

    Nobody but its own user is told, though all can see the `name` once a worker listens; what is told has
    no end that could be held up.
    """

    def __init__(self, name: str) -> None:
        """Listen at once; raises OSError, also where another user listens there already."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(teller_address(name, os.getpid()))
        self._socket.listen()
        self._thread = threading.Thread(target=self._run, name="stacks", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def _run(self) -> None:
        rest = threading.Event()
        while True:
            try:
                asking, _address = self._socket.accept()
            except OSError:  # there is no descriptor left
                rest.wait(_REST)
                continue
            with asking, contextlib.suppress(OSError):
                if peer_owner(asking) == os.geteuid():
                    asking.settimeout(_SECONDS)
                    asking.sendall(own_stacks())


def stacks_told(name: str, pid: int) -> bytes:
    """The stacks of that worker, as it tells them; raises OSError."""
    told = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(_SECONDS)
        asked.connect(teller_address(name, pid))
        if peer_owner(asked) != os.geteuid():
            raise ConnectionError("another user has its address")
        while piece := asked.recv(_PIECE):
            told += piece
    if not told:
        raise ConnectionError("it tells nothing")
    return bytes(told)
