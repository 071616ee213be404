"""What leads, follows and succeeds, over one cache folder and an origin that says what the test wrote."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripted import Scripted, upstream

from pyproxycache.configuration.config import Config
from pyproxycache.facts import Facts
from pyproxycache.messages import Entry, Head, Headers, Part, Request
from pyproxycache.options import FetchOptions, Share, StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.policy import Policies
from pyproxycache.store.ports import DownloadWriter, LeadFlight
from pyproxycache.url import Url
from pyproxycache.wiring.fetching import build_leading
from pyproxycache.wiring.stored import open_store

BODY = bytes(range(256)) * 1024
"""More than is stored at once."""
STRONG, NONE = ("ETag", '"1"'), ("X-Other", "1")
"""A validator that tells every byte, and a field that tells nothing."""


def admit_all(_client: str, _peer: str) -> None:
    """Every client may have what came from any address."""


class Parts:
    """One worker's, with nothing patched; an origin's answers are those of a Scripted one."""

    def __init__(self, path: Path) -> None:
        fetch = FetchOptions(pause=0.01, tries=2, range_ahead=0)
        self.config = config = Config(store=StoreOptions(path=path, reserve=Share()), fetch=fetch)
        self.store = open_store(config.store)
        self.leading = build_leading(config, self.store, upstream(), admit_all, lambda _count: None)
        self.flights, self.upstream = self.leading.flights, self.leading.upstream
        self.available, self.downloads = self.leading.available, self.leading.downloads
        self.leader, self.dispatcher = self.leading.leader, self.leading.dispatcher
        self.succession = self.leading.succession

    def lead(self, key: FlightKey) -> DownloadWriter:
        joined = self.flights.join(key)
        assert isinstance(joined, LeadFlight), joined
        return joined.writer

    def keep(self, entry: Entry, body: bytes) -> Entry:
        """Store it as another leader would have."""
        whole = replace(entry, digest=hashlib.sha256(body).hexdigest(), size=len(body))
        assert self.lead(FlightKey(entry.key, part="other")).store_at_once(whole, body) is not None
        return whole

    def stored(self, key: str) -> list[Entry]:
        return self.store.index.lookup(key, lambda names: tuple((name, None) for name in names))

    def close(self) -> None:
        self.downloads.drain(10)
        self.flights.close()
        while self.upstream.close_idle():  # left to the collector of cycles, they would be warned of
            pass
        self.store.database.close()


@contextlib.contextmanager
def parts_in(path: Path) -> Iterator[Parts]:
    made = Parts(path)
    try:
        yield made
    finally:
        made.close()


REALM = Realm(Policies())
RULES = REALM.resource(Url("http", "h", 80, "/")).rules
"""What holds where the operator says nothing."""


def asking(server: Scripted, *fields: tuple[str, str]) -> Request:
    return Request("GET", server.url(), Headers(fields))


def inquiry_of(server: Scripted) -> Inquiry:
    """A request to this server, of which no fact is noted yet."""
    request = asking(server)
    return Inquiry(REALM.resource(request.url), request, Facts())


def entry_of(key: str, validator: tuple[str, str], part: Part | None = None, at: float = 1000.0) -> Entry:
    """That of BODY, or of a part of it."""
    fields = [validator, ("Content-Length", str(len(BODY) if part is None else part.length))]
    if part is not None:
        fields.append(("Content-Range", f"bytes {part.start}-{part.end}/{len(BODY)}"))
    head = Head(200 if part is None else 206, "", Headers(fields))
    return Entry(key, head, request_time=at, response_time=at, part=part)


def reply(status: int, body: bytes, *fields: tuple[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        "Cache-Control: max-age=60",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "\r\n"]).encode() + body


def rest(offset: int, stop: int = len(BODY), *fields: Any) -> bytes:
    """The 206 from the offset on."""
    said = ("Content-Range", f"bytes {offset}-{stop - 1}/{len(BODY)}")
    return reply(206, BODY[offset:stop], STRONG, said, *fields)
