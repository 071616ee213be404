"""A miss is answered whatever becomes of the store, and of the flight that its answer comes from."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fetching_parts import BODY, NONE, STRONG, Parts, admit_all, entry_of, parts_in, reply
from made_bodies import read
from scripted import Scripted

from pyproxycache import clock
from pyproxycache.errors import BrokenOff, Forbidden, ProxyError, StoreError
from pyproxycache.facts import Facts
from pyproxycache.fetching.dispatch import Dispatcher
from pyproxycache.fetching.fetch_job import FetchJob
from pyproxycache.fetching.fetcher import Fetcher
from pyproxycache.messages import Headers, Request
from pyproxycache.outcome import Forward, Result
from pyproxycache.report.folding import outcome_of
from pyproxycache.response import Response
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.decide import validating
from pyproxycache.rules.policy import Policies
from pyproxycache.serving.lookup import Lookup
from pyproxycache.steps import finished
from pyproxycache.store.ports import Flights, JoinFlight, LeadFlight, NotStorable
from pyproxycache.store.values import End, RecordedFlight, Stamp
from pyproxycache.wiring.fetching import build_components


class Failing:
    """Flights of which one method fails, after so many calls, as a folder that is gone makes it."""

    def __init__(self, flights: Flights, name: str, after: int = 0) -> None:
        self._flights = flights
        self._name = name
        self._left = after

    def _try(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left < 0:
                raise StoreError("the folder is gone")

    def join(self, key: FlightKey) -> LeadFlight | JoinFlight | NotStorable:
        self._try("join")
        return self._flights.join(key)

    def lead_after_all(self, key: FlightKey) -> LeadFlight | None:
        self._try("lead_after_all")
        return self._flights.lead_after_all(key)

    def follow(self, key: FlightKey) -> JoinFlight | None:
        self._try("follow")
        return self._flights.follow(key)

    def runs_here(self, key: FlightKey) -> bool:
        return self._flights.runs_here(key)

    def recorded(self, key: str) -> list[RecordedFlight]:
        self._try("recorded")
        return self._flights.recorded(key)

    def stamp(self, key: str) -> Stamp | None:
        return self._flights.stamp(key)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with parts_in(tmp_path) as made:
        yield made


def no_peer(_client: str, _peer: str) -> None:
    raise Forbidden("not for you")


def fetcher(parts: Parts, flights: Flights, *, admits: bool = True) -> Fetcher:
    leading = replace(parts.leading, flights=flights, dispatcher=Dispatcher(flights, parts.leader))
    admit = admit_all if admits else no_peer
    return build_components(parts.config, parts.store, leading, admit, lambda _id, _now: None).fetcher


def job(parts: Parts, server: Scripted, *fields: tuple[str, str]) -> FetchJob:
    request = Request("GET", server.url(), Headers(fields))
    resource = Realm(Policies()).resource(request.url)
    looked_up = Lookup(parts.store.index).find(resource, request)
    fetch = validating(request, None, Forward.MISS)
    return FetchJob(resource, request, Facts(), looked_up, fetch)


PART = reply(206, BODY[5:10], STRONG, ("Content-Range", f"bytes 5-9/{len(BODY)}"))


@pytest.mark.parametrize("method", ["join", "follow", "recorded", "lead_after_all"])
@pytest.mark.parametrize(
    ("fields", "answer", "body"),
    [
        ([], reply(200, BODY, STRONG), BODY),
        ([("Range", "bytes=5-9")], PART, BODY[5:10]),
        ([("Range", "bytes=5-9")], reply(200, BODY, STRONG), BODY[5:10]),
    ],
    ids=["whole", "part", "whole instead"],
)
def test_a_store_that_fails_keeps_nobody_from_an_answer(
    parts: Parts, method: str, fields: list[tuple[str, str]], answer: bytes, body: bytes
) -> None:
    with Scripted([answer], [answer]) as server:
        work = job(parts, server, *fields)
        response, _varies = finished(fetcher(parts, Failing(parts.flights, method)).fetch(work))
        assert response is not None
        assert given(response) in (body, BODY)
        response.body.close()
        assert not runs(parts, work)


def test_a_whole_that_the_store_has_no_place_for_is_passed_on(parts: Parts) -> None:
    """It came in place of a part, for which there was one."""
    with Scripted([reply(200, BODY, STRONG)]) as server:
        work = job(parts, server, ("Range", "bytes=5-9"))
        response, _varies = finished(fetcher(parts, Failing(parts.flights, "join", after=1)).fetch(work))
        assert response is not None
        assert given(response) == BODY
        assert outcome_of(work.facts).result is Result.PASSED


@pytest.mark.parametrize("is_broken", [False, True])
def test_an_answer_says_that_it_is_stored_where_it_is(parts: Parts, is_broken: bool) -> None:
    """A small body is committed, or is not, before anything is said of it."""

    def answer(connection: socket.socket) -> None:
        if is_broken:
            parts.store.database.damage = "it broke while the origin was asked"
        connection.sendall(reply(200, b"small", STRONG))

    with Scripted([answer]) as server:
        work = job(parts, server)
        response, _varies = finished(fetcher(parts, parts.flights).fetch(work))
        assert response is not None
        assert given(response) == b"small"
        assert outcome_of(work.facts).stored is not is_broken


def given(response: Response) -> bytes:
    return read(response.body)


def runs(parts: Parts, work: FetchJob) -> bool:
    """Whether a flight is left once all bodies are in."""
    assert parts.downloads.drain(10) == 0
    part = work.fetch.headers.get("range")
    keys = [work.flight_of_whole, *([work.flight_of_whole.of_part(part)] if part else [])]
    return any(parts.flights.runs_here(key) for key in keys)


@pytest.mark.parametrize("validator", [STRONG, NONE])
def test_a_client_that_may_not_have_it_stops_no_download(parts: Parts, validator: tuple[str, str]) -> None:
    with Scripted([reply(200, BODY, validator)]) as server:
        work = job(parts, server)
        with pytest.raises(Forbidden):
            finished(fetcher(parts, parts.flights, admits=False).fetch(work))
        assert not runs(parts, work)
        assert [entry.size for entry in parts.stored(work.resource.key)] == [len(BODY)]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (reply(200, BODY, STRONG), None),
        (reply(200, BODY, STRONG), "bytes=5-9"),
        (reply(200, BODY, ("Cache-Control", "no-store")), None),
        (b"no HTTP\r\n\r\n", None),
    ],
    ids=["stored", "whole instead", "passed", "failed"],
)
def test_a_refresh_leaves_no_flight(parts: Parts, answer: bytes, wanted: str | None) -> None:
    fields = [("Range", wanted)] if wanted else []
    with Scripted([answer], [answer]) as server:
        work = job(parts, server, *fields)
        refreshed = fetcher(parts, parts.flights)
        if answer.startswith(b"no HTTP"):
            with pytest.raises(ProxyError):
                refreshed.refresh(work)
        else:
            refreshed.refresh(work)
        assert not runs(parts, work)


def test_an_answer_that_is_left_out_of_the_flight_is_the_clients_own(parts: Parts) -> None:
    """What is asked for lies too far behind what has come; the download goes on by itself."""
    far = len(BODY) - 10
    with Scripted([reply(200, BODY, STRONG)], [PART]) as server:
        work = job(parts, server, ("Range", f"bytes={far}-"))
        response, _varies = finished(fetcher(parts, parts.flights).fetch(work))
        assert response is not None
        assert given(response) == BODY[far:]
        assert not runs(parts, work)


def test_who_follows_gets_the_leaders_error(parts: Parts) -> None:
    with Scripted() as server:
        work = job(parts, server)
        writer = parts.lead(work.flight_of_whole)
        steps = fetcher(parts, parts.flights).fetch(work)
        next(steps)
        writer.finish(End.FAILED, error=BrokenOff("it broke"))
        with pytest.raises(BrokenOff, match="it broke"):
            finished(steps)


@pytest.mark.parametrize("end", [None, End.BROKEN, End.FAILED, End.LOST])
def test_nobody_joins_a_download_that_is_over(parts: Parts, end: End | None) -> None:
    """The terms on which an answer is shared while it arrives end with the flight."""
    with Scripted() as server:
        work = job(parts, server)
        writer = parts.lead(work.flight_of_whole)
        entry = entry_of(work.resource.key, STRONG, at=clock.wall())
        fresh = entry.head.headers.with_field("Cache-Control", "max-age=60")
        writer.begin(replace(entry, head=replace(entry.head, headers=fresh)), len(BODY))
        response, _varies = finished(fetcher(parts, parts.flights).fetch(work))
        assert response is not None
        terms = response.reuse_terms
        assert terms is not None
        assert terms.again is not None
        if end is not None:
            writer.leave_for_successor(end, BrokenOff("it broke"))
        joined = terms.again("192.0.2.1", Facts())
        assert (joined is None) is (end is not None)
        for one in (response, joined):
            if one is not None:
                one.body.close()
        if end is None:
            writer.finish(End.LOST)
