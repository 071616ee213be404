"""Documents that are read as they are stored, and who waits for that."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pyproxycache.fetching.transfers.documents import Documents, KnownDocument
from pyproxycache.fetching.transfers.inspection import Inspections
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.repositories import Repository, Verify, repository_at, repository_of
from pyproxycache.options import Share, StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.urls import parse_url
from pyproxycache.statement import Statement
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.ports import LeadFlight
from pyproxycache.url import Url
from pyproxycache.wiring.stored import OpenStore, open_store

BASE = "http://index.example/root/"
PAGE = f"{BASE}simple/x/"
FILE = "http://files.example/x-1.0-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"
DIGEST = hashlib.sha256(b"wheel").hexdigest()
TEXT = json.dumps({"files": [{"url": FILE, "hashes": {"sha256": DIGEST}}]}).encode()
LARGE = 9 << 20
"""More than is read before clients have the last byte."""

MakeDocuments = Callable[..., Documents]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenStore]:
    opened = open_store(StoreOptions(path=tmp_path / "cache", reserve=Share()))
    yield opened
    opened.database.close()


@pytest.fixture
def make(store: OpenStore) -> Iterator[MakeDocuments]:
    made: list[Documents] = []

    def make_one(ecosystem: str = "pypi", verify: Verify = Verify.STRICT) -> Documents:
        places = (repository_at(ECOSYSTEMS[ecosystem], parse_url(BASE), verify),)

        def repository(url: Url) -> Repository | None:
            return repository_of(url, places)

        made.append(Documents(store.stated, store.index, store.bodies, repository, str))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


def head(media_type: str = JSON, status: int = 200, *fields: tuple[str, str]) -> Head:
    return Head(status, "", Headers([("Content-Type", media_type), *fields]))


def known(documents: Documents, url: str = PAGE, media_type: str = JSON) -> KnownDocument:
    found = documents.known(parse_url(url), head(media_type))
    assert found is not None
    return found


def keep(store: OpenStore, url: str, body: bytes, media_type: str = JSON) -> Entry:
    """Store a document, as a leader would."""
    flights = LocalFlights(store.claims, Terms(60, 60))
    joined = flights.join(FlightKey(url))
    assert isinstance(joined, LeadFlight)
    entry = Entry(url, head(media_type), request_time=1000.0, response_time=1000.0)
    stored = replace(entry, digest=hashlib.sha256(body).hexdigest(), size=len(body))
    assert joined.writer.store_at_once(stored, body) is not None
    flights.close()
    return stored


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it does not hold after ten seconds")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (PAGE, head(status=404)),
        (PAGE, head("text/plain")),
        (PAGE, head(JSON, 200, ("Content-Encoding", "br"))),
        ("http://index.example/simple/x/", head()),
        ("http://other.example/root/simple/x/", head()),
        (f"{BASE}x.whl", head("application/zip")),
    ],
)
def test_what_is_no_document(make: MakeDocuments, url: str, told: Head) -> None:
    assert make().known(parse_url(url), told) is None


def test_nothing_is_read_where_nothing_is_checked(make: MakeDocuments) -> None:
    assert make(verify=Verify.OFF).known(parse_url(PAGE), head()) is None
    assert not known(make(verify=Verify.WARN)).is_binding


@pytest.mark.parametrize("size", [*range(1, 10), len(TEXT)])
def test_a_small_one_is_read_at_once(store: OpenStore, make: MakeDocuments, size: int) -> None:
    documents = make()
    pieces = (TEXT[at : at + size] for at in range(0, len(TEXT), size))
    assert documents.read_at_once(known(documents), len(TEXT), pieces)
    statements = store.stated.of(FILE)
    assert statements.made == (Statement(BASE, (("sha-256", DIGEST),), PAGE),)
    assert not statements.may_follow


@pytest.mark.parametrize("text", [b"", b"{", TEXT[:-2], b"[1, 2]", bytes(100)])
def test_one_that_is_none_raises_nothing(make: MakeDocuments, text: bytes) -> None:
    documents = make()
    assert documents.read_at_once(known(documents), len(text), iter([text]))


def test_a_large_one_is_read_once_it_is_stored(store: OpenStore, make: MakeDocuments) -> None:
    documents = make()
    text = TEXT[:-1] + b" " * LARGE + TEXT[-1:]
    document = known(documents)
    assert not documents.read_at_once(document, len(text), iter([text]))
    assert store.stated.of(FILE).may_follow
    documents.read_later(document, keep(store, PAGE, text))
    until(lambda: not store.stated.of(FILE).may_follow)
    assert store.stated.of(FILE).made


def test_who_asks_meanwhile_waits_for_it(store: OpenStore, make: MakeDocuments) -> None:
    documents = make()
    inspections = Inspections(store.stated, documents, lambda _url: True)
    document, file = known(documents), f"{BASE}packages/x-1.0-py3-none-any.whl"
    text = TEXT.replace(FILE.encode(), file.encode())
    assert not documents.read_at_once(document, LARGE, iter([text]))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(inspections.of, Request("GET", parse_url(file)), file, waits=True)
        documents.read_later(document, keep(store, PAGE, text))
        assert waiting.result(10).is_proving


def test_one_that_is_gone_ends_the_wait(store: OpenStore, make: MakeDocuments) -> None:
    documents = make()
    document = known(documents)
    assert not documents.read_at_once(document, LARGE, iter([TEXT]))
    gone = Entry(PAGE, head(), request_time=1.0, response_time=1.0, digest="0" * 64, size=LARGE)
    documents.read_later(document, gone)
    until(lambda: not store.stated.of(FILE).may_follow)
    assert not store.stated.of(FILE).made


def test_what_is_validated_is_read_again_after_a_week(store: OpenStore, make: MakeDocuments) -> None:
    documents = make()
    entry = keep(store, PAGE, TEXT)
    store.stated.end_reading(PAGE)
    documents.read_again(known(documents), entry)  # it was read just now
    with store.database.write() as db:
        db.execute("UPDATE documents SET read = read - 8 * 86400")
    assert not store.stated.of(FILE).made
    documents.read_again(known(documents), entry)
    until(lambda: bool(store.stated.of(FILE).made))


def test_one_that_is_read_with_another(store: OpenStore, make: MakeDocuments) -> None:
    line = {"name": "serde", "vers": "1.0.0", "cksum": DIGEST}
    text, url = json.dumps(line).encode() + b"\n", f"{BASE}se/rd/serde"
    documents = make("cargo")
    crate = "http://files.example/dl/serde/1.0.0/download"
    assert documents.read_at_once(known(documents, url, "text/plain"), len(text), iter([text]))
    assert not store.stated.of(crate).made
    keep(store, f"{BASE}config.json", b'{"dl": "http://files.example/dl"}', "application/json")
    assert documents.read_at_once(known(documents, url, "text/plain"), len(text), iter([text]))
    assert store.stated.of(crate).made
