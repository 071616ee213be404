"""Asks the origin for all who wait for a flight, and acts on the head of its answer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import StoreError, UpstreamError, WrongContent
from pyproxycache.facts import Facts, OriginReplied
from pyproxycache.fetching.leading import Leading
from pyproxycache.fetching.storing_advice import StoringAdvice
from pyproxycache.fetching.transfers.downloads import Downloads
from pyproxycache.fetching.transfers.giving_up import give_up
from pyproxycache.fetching.transfers.inspection import Inspection, Inspections
from pyproxycache.fetching.transfers.source import ClosedOnError, Source, ask, entry_of, length_of
from pyproxycache.messages import Entry, Request
from pyproxycache.options import FetchOptions
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.policy import UrlRules
from pyproxycache.rules.validation import strip_conditionals, strip_validators
from pyproxycache.store.ports import DownloadWriter, EntryIndex, Flight, Room
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import End
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")

_SMALL = 64 << 10
"""Bytes of a body that is stored by the thread that asked for it, if it is there already, or soon."""
_SOON = 0.002
"""Seconds behind the head, for which those who follow the flight wait as well."""
_CHECKED_SOON = 0.25
"""The same for a body that may turn out to be refused: it can be fetched anew only before it is given."""

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Downloading:
    """The flight has the head; the body comes in once the lead is left. A small one is there already.

    `own` are fields that only the one who asked gets. `is_stored`: it is, or is still to be.
    """

    own: Fields = ()
    is_stored: bool = True


@dataclass(frozen=True, slots=True)
class Passed:
    """Not to be stored: the answer belongs to the one who asked, and so does closing it."""

    exchange: Exchange
    reason: str


@dataclass(frozen=True, slots=True)
class Freshened:
    """The stored response was validated, and with it the parts that belong to it; `own` as above."""

    entry: Entry
    siblings: tuple[Entry, ...]
    own: Fields = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """The origin failed; the stored response stands in for it."""

    entry: Entry
    detail: str


@dataclass(frozen=True, slots=True)
class ToStore:
    """An answer to be stored: to `request`, which was sent at the time `asked`.

    It belongs to the one who asked, and so does closing it.
    """

    exchange: Exchange
    store: decisions.Store
    request: Request
    asked: float


@dataclass(frozen=True, slots=True)
class WholeInstead:
    """A part was asked for and the whole is coming: it goes into the flight of the whole."""

    answer: ToStore


Led = Downloading | Passed | Freshened | Stale | WholeInstead


def close_unused(led: Led) -> None:
    """Close what the origin answered where the caller has no use for it."""
    match led:
        case Passed(exchange) | WholeInstead(ToStore(exchange)):
            exchange.close()


class Leader:
    """Asks the origin for all who wait for a flight, and acts on the head of the answer."""

    def __init__(
        self,
        options: FetchOptions,
        upstream: Upstream,
        room: Room,
        index: EntryIndex,
        inspections: Inspections,
        downloads: Downloads,
    ) -> None:
        self._options = options
        self._upstream = upstream
        self._room = room
        self._index = index
        self._inspections = inspections
        self._downloads = downloads
        self._advice = StoringAdvice()

    def lead(self, writer: DownloadWriter, rules: UrlRules) -> Leading:
        """The lead of the writer's flight, as a context; `rules` are those for its URL."""
        return Leading(writer, rules, self._downloads.start)

    def ask(self, leading: Leading, request: Request, fetch: decisions.Fetch, facts: Facts) -> Led:
        """Ask the origin and act on the head of its answer.

        Raises the ProxyError that everyone is to get who waits for this flight.
        """
        with _while_wanted(request, leading.flight):
            inspection = self._inspections.of(request, leading.writer.key.cache_key, waits=True)
            if inspection.has_failed:
                fetch = _past_caches(fetch)
            try:
                return self._asked(leading, request, fetch, inspection, facts)
            except WrongContent:  # nothing was given to anyone yet
                if inspection.has_failed:
                    raise
                return self._asked(leading, request, _past_caches(fetch), inspection, facts)

    def _asked(
        self,
        leading: Leading,
        request: Request,
        fetch: decisions.Fetch,
        inspection: Inspection,
        facts: Facts,
    ) -> Led:
        writer = leading.writer
        plain = request.with_headers(fetch.headers)
        asked = clock.wall()
        patience = self._options.stale_after if fetch.stale else None
        try:
            told = self._by_head(leading, plain, fetch, facts)
            if told is not None:
                return told
            answered = ask(self._upstream, writer, plain, facts, patience)
        except UpstreamError as error:
            stand_in = decide.on_error(fetch.stale, leading.rules, clock.wall(), request)
            if stand_in is None:
                raise
            give_up(writer, End.STALE, error)
            return Stale(stand_in.entry, stand_in.detail)
        exchange = answered.exchange
        facts.note(OriginReplied(exchange.head.status))
        with ClosedOnError(exchange):
            if answered.rest is not None and writer.entry is not None:
                writer.begin(writer.entry, answered.rest.end)
                leading.begin(plain, answered.rest)
                return Downloading()
            now = clock.wall()
            rules = replace(leading.rules, is_stated=True) if inspection.is_proving else leading.rules
            match decide.on_response(plain, exchange.head, fetch, rules, asked, now):
                case decisions.Store() as store:
                    return self._store(leading, ToStore(exchange, store, plain, asked), inspection)
                case decisions.Pass(reason, remember):
                    return self._pass(writer, exchange, reason, remember=remember)
                case decisions.Freshen(entry, siblings, kept, own):
                    exchange.close()
                    self._note_fresh(kept)
                    for one in kept:
                        inspection.read_again(one)
                    writer.finish(End.FRESHENED if kept else End.PASSED)
                    return Freshened(entry, siblings, own)
                case decisions.ServeStale(entry, detail):
                    exchange.close()
                    give_up(writer, End.STALE, None)
                    return Stale(entry, detail)
                case decisions.FetchAnew(anew):
                    exchange.close()
                    return self._asked(leading, request, anew, inspection, facts)

    def _by_head(
        self, leading: Leading, plain: Request, fetch: decisions.Fetch, facts: Facts
    ) -> Freshened | Stale | None:
        """What a HEAD tells of the stale entry, if that is to be asked; None if a GET has to tell."""
        stale, writer = fetch.stale, leading.writer
        if stale is None or stale.part is not None or writer.size:
            return None
        if not leading.rules.for_head(stale.head).by_head:
            return None
        asked = clock.wall()
        request = replace(plain, method="HEAD", headers=strip_conditionals(plain.headers))
        exchange = self._upstream.send(request, facts, patience=self._options.stale_after)
        exchange.close()
        match decide.on_digest(request, exchange.head, stale, leading.rules, asked, clock.wall()):
            case decisions.Freshen(entry, siblings, kept):
                facts.note(OriginReplied(exchange.head.status))
                self._note_fresh(kept)
                writer.finish(End.FRESHENED if kept else End.PASSED)
                return Freshened(entry, siblings)
            case decisions.ServeStale(entry, detail):
                facts.note(OriginReplied(exchange.head.status))
                give_up(writer, End.STALE, None)
                return Stale(entry, detail)
        return None

    def _store(self, leading: Leading, answer: ToStore, inspection: Inspection) -> Led:
        writer, store = leading.writer, answer.store
        try:
            refused = self.why_not_admitted(answer.exchange, store)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(writer.key.cache_key), error)
            return self._pass(writer, answer.exchange, "store-failed", remember=False)
        if refused is not None:
            return self._pass(writer, answer.exchange, refused, remember=True)
        if answer.exchange.head.status == 200 and "range" in answer.request.headers:
            plain = answer.request.with_headers(strip_conditionals(answer.request.headers))
            return WholeInstead(ToStore(answer.exchange, store, plain, answer.asked))
        self._note_fresh(store.siblings)
        if store.outdated is not None:
            with logging_store_errors("forget what was stored of", writer.key.cache_key):
                self._index.forget(store.outdated)
        return self.adopt(leading, answer, inspection)

    def why_not_admitted(self, exchange: Exchange, store: decisions.Store) -> str | None:
        """Why there is no room for the answer, by the length that is known (a token). Raises StoreError."""
        length = exchange.length if store.part is None else store.part.length
        return self._room.why_not_admitted(length or 0, store.head.size)

    def adopt(
        self, leading: Leading, answer: ToStore, inspection: Inspection | None = None
    ) -> Downloading | Passed:
        """Store the answer, or pass it on if the store fails to; closes it on any other error.

        Raises WrongContent for a body that is here and has another digest than is stated: nothing of it was
        given to anyone.
        """
        writer, exchange, store = leading.writer, answer.exchange, answer.store
        inspection = inspection or self._inspections.of(answer.request, writer.key.cache_key)
        with ClosedOnError(exchange):
            try:
                check = inspection.check(store.head)
                body = self._at_hand(writer, exchange, store, _CHECKED_SOON if check.is_binding else _SOON)
                entry = entry_of(writer.key, answer.request, exchange, store, answer.asked, body)
                if body is not None:
                    check.update(body)
                    if wrong := check.mismatch(entry.digest):
                        raise inspection.refuse(wrong)
                    entry = inspection.found(entry, check)
                    return Downloading(store.own, self._store_at_once(writer, entry, body, inspection))
                length = length_of(exchange, entry)
                if writer.size:
                    writer.begin_anew(entry, length)
                else:
                    writer.begin(entry, length)
            except StoreError as error:
                log.warning("%s is served but not stored: %s", without_query(writer.key.cache_key), error)
                writer.finish(End.PASSED)
                return Passed(exchange, "store-failed")
        leading.begin(answer.request, Source(exchange, length))
        return Downloading(store.own)

    def _at_hand(
        self, writer: DownloadWriter, exchange: Exchange, store: decisions.Store, soon: float
    ) -> bytes | None:
        """The body, if all of it has come with its head, or so many seconds behind it; else None."""
        if writer.size or store.groups:
            return None
        if exchange.length is None and self._room.why_not_admitted(_SMALL):
            return None  # it may be larger than what may be stored
        if store.part is not None and store.part.length != exchange.length:
            return None
        return exchange.at_hand(_SMALL, soon)

    def _store_at_once(
        self, writer: DownloadWriter, entry: Entry, body: bytes, inspection: Inspection
    ) -> bool:
        """Commit a body that is here, without a growing file or a waiting thread; whether it is stored."""
        is_unread = inspection.read(entry, lambda: (body,))
        try:
            is_stored = writer.store_at_once(entry, body) is not None
            inspection.review(entry)
            if is_unread:
                inspection.read_later(entry)
            return is_stored
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(writer.key.cache_key), error)
            return False

    def _note_fresh(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            with logging_store_errors("note the freshness of", entry.key):
                self._index.freshen(entry)

    def _pass(self, writer: DownloadWriter, exchange: Exchange, reason: str, *, remember: bool) -> Passed:
        self._advice.give(writer.key, reason)
        if remember:
            writer.finish(End.PASSED, not_storable_until=clock.wall() + self._options.not_storable_for)
        else:
            # It says nothing about the next answer, so what there is to resume stays.
            give_up(writer, End.PASSED, None)
        return Passed(exchange, reason)


def _past_caches(fetch: decisions.Fetch) -> decisions.Fetch:
    """The fetch after a body that is not what is stated: a cache on the way may have it from elsewhere."""
    return replace(fetch, headers=strip_validators(fetch.headers).with_field("Cache-Control", "no-cache"))


def _while_wanted(request: Request, flight: Flight) -> contextlib.AbstractContextManager[None]:
    """A context in which the client's leaving breaks off the request, unless others wait for the flight."""
    if request.cancellation is None:
        return contextlib.nullcontext()
    return request.cancellation.shared(flight.is_awaited)
