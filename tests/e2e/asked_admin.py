"""A server with an admin listener, and what is asked there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Proxy, Reply
from load import Address
from prometheus_client.parser import text_string_to_metric_families
from promtool import problems_of
from raw import Conversation, request
from waiting import until

TOKEN = "a-token-of-this-test-alone"
BEARER = f"Authorization: Bearer {TOKEN}"


@contextlib.contextmanager
def reserved() -> Iterator[Address]:
    """An address whose port is ours, and on which a server can listen."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()


MakeAdmin = Callable[..., "Admin"]


class Admin:
    """The admin listener of a server, at `address` (a path for that of a Unix socket)."""

    def __init__(self, proxy: Proxy, address: Address | str) -> None:
        self.proxy = proxy
        self.address = address
        until(self._listens)  # the master listens there after it listens for clients

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), Conversation(self.address, timeout=30.0):
            return True
        return False

    def ask(self, line: str, *fields: str, body: bytes = b"") -> Reply:
        """The answer to a request; its Host is the address unless one is given."""
        if not any(field.lower().startswith("host:") for field in fields):
            fields = ("Host: 127.0.0.1", *fields)
        with Conversation(self.address, timeout=30.0) as asked:
            return asked.send(request(line, *fields, body=body)).reply(line.partition(" ")[0])

    def says(self, raw: bytes) -> bytes:
        """What comes back for these bytes, until the connection is closed."""
        with Conversation(self.address, timeout=30.0) as asked:
            with contextlib.suppress(OSError):  # it was refused before its end
                asked.send(raw).finish()
            try:
                return asked.rest()
            except ConnectionError:
                return b""

    def samples(self, *fields: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All samples by their names and labels, as Prometheus' own parser reads them."""
        reply = self.ask("GET /metrics", *fields)
        assert reply.status == 200, reply.body
        assert problems_of(reply.body) == ""
        families = list(text_string_to_metric_families(reply.body.decode()))
        assert len(families) == len({family.name for family in families})
        read = [one for family in families for one in family.samples]
        found = {(one.name, frozenset(one.labels.items())): one.value for one in read}
        assert len(found) == len(read), "no sample stands there twice"
        return found

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and these labels."""
        samples = self.samples()
        return sum(
            value for (own, of), value in samples.items() if own == name and of >= frozenset(labels.items())
        )


def config_with(address: Address, **admin: Any) -> dict[str, Any]:
    """A configuration with the admin listener at this address."""
    return {"admin": {"listen": f"{address[0]}:{address[1]}", **admin}}


def token_file(folder: Path) -> str:
    """A reference to a file with the token, which is written here."""
    file = folder / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return f"${{file:{file}}}"
