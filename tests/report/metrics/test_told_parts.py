"""What parts count comes to the operator, by names and labels that no client chooses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from finished import finished

from pyproxycache.outcome import Result
from pyproxycache.report.metrics.event_metrics import event_counts, events_waiting
from pyproxycache.report.metrics.family import Family, Kind
from pyproxycache.report.metrics.gate_metrics import LIMITED, QUESTIONS, TOKENS, GateMetrics
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.report.metrics.named_counts import ERRORS, NamedCounts
from pyproxycache.report.metrics.pool_metrics import NONE_LEFT, RETRIES, STATES, PoolMetrics
from pyproxycache.report.metrics.refresh_metrics import REFRESH_COUNTS
from pyproxycache.report.metrics.request_metrics import (
    DURATION,
    FROM_MEMORY,
    RECEIVED,
    REQUESTS,
    SENT,
    RequestMetrics,
)
from pyproxycache.upstream.pools.health import HEALTH_STATES
from pyproxycache.url import Url

MEMBER = Url("http", "a", 80, "/")


def counted(metrics: Metrics, family: Family) -> dict[tuple[str, ...], float]:
    """The series of the family that are not 0; of a histogram how many values there were."""
    for one, series in metrics.look():
        if one is family:
            of = (lambda numbers: sum(numbers[1:])) if family.kind is Kind.HISTOGRAM else sum
            return {each.labels: of(each.numbers) for each in series if any(each.numbers)}
    raise AssertionError("it is not declared")


def test_requests_are_counted_by_way_route_and_result() -> None:
    metrics = Metrics()
    told = RequestMetrics(metrics)
    told.finished(finished(way="proxy", result=Result.FETCHED, bytes_received=5000))
    told.finished(finished(way="route", route="/api/", result=Result.FAILED, seconds=100.0))
    told.repeated(finished(way="proxy", seconds=0.0), 7)
    told.received(300)
    fetched, failed, hit = ("proxy", "", "fetched"), ("route", "/api/", "failed"), ("proxy", "", "hit")
    assert counted(metrics, REQUESTS) == {fetched: 1, failed: 1, hit: 7}
    assert counted(metrics, DURATION) == {fetched: 1, failed: 1, hit: 7}
    assert counted(metrics, SENT) == {fetched: 1224, failed: 1224, hit: 7 * 1224}
    assert counted(metrics, RECEIVED) == {("request",): 5000, ("download",): 300}
    assert counted(metrics, FROM_MEMORY) == {(): 7}


def test_counts_by_names_are_shown_and_go_on_to_the_store() -> None:
    metrics, store = Metrics(), Counter[str]()
    names = REFRESH_COUNTS | event_counts("file")
    count = NamedCounts(metrics, names).beside(store.update)
    given = {name: number for number, name in enumerate(names, 1)}
    given |= {"requests": 100, "bytes.sent": 100, "errors.events": 3, "errors.refresh": 4}
    count(given)
    count({"events.sent": 10})
    assert store == Counter(given) + Counter({"events.sent": 10})
    shown: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for family, series in metrics.look():
        shown.update({(family.name, one.labels): one.numbers[0] for one in series})
    expected = {(one.family.name, one.labels): float(given[name]) for name, one in names.items()}
    assert (
        shown.items()
        >= (expected | {("pyproxycache_events_sent", ("file",)): given["events.sent"] + 10.0}).items()
    )
    assert counted(metrics, ERRORS) == {("events",): 3, ("refresh",): 4}


def test_counts_by_names_are_there_before_the_first_one() -> None:
    metrics = Metrics()
    names = event_counts("file")
    NamedCounts(metrics, names)
    there = {(family.name, one.labels) for family, series in metrics.look() for one in series}
    assert there >= {(one.family.name, one.labels) for one in names.values()}


def test_what_waits_is_told_where_that_can_be_known(tmp_path: Path) -> None:
    def gone() -> int:
        raise NotADirectoryError

    (one,) = events_waiting("webhook", lambda: 512)
    assert (one.labels, one.numbers) == (("webhook",), (512.0,))
    assert list(events_waiting("webhook", gone)) == []


def test_gates_count_by_route() -> None:
    metrics = Metrics()
    gates = GateMetrics(metrics)
    limit, tokens, note = gates.of_limit("/a/", "few"), gates.of_tokens("/a/"), gates.of_questions("/a/")
    limit.admitted(1)
    limit.admitted(2)
    limit.refused(1)
    tokens.valid(1)
    tokens.remembered(2)
    tokens.refused(3)
    tokens.failed(4)
    gates.of_limit_by_memory("/a/", "few").admitted(10)
    gates.of_limit_by_memory("/a/", "few").refused(10)  # which comes to the gate
    gates.of_tokens_by_memory("/a/").remembered(10)
    note(0.5, False)
    note(10.5, True)
    assert counted(metrics, LIMITED) == {("/a/", "few", "admitted"): 13, ("/a/", "few", "refused"): 1}
    found = {"valid": 1, "remembered": 12, "refused": 3, "failed": 4}
    assert counted(metrics, TOKENS) == {("/a/", result): number for result, number in found.items()}
    assert counted(metrics, QUESTIONS) == {("/a/", "answered"): 1, ("/a/", "failed"): 1}


def test_a_member_is_in_one_state() -> None:
    metrics = Metrics()
    told = PoolMetrics(metrics, "p")
    for state in HEALTH_STATES:
        told.became(MEMBER, state)
        assert counted(metrics, STATES) == {("p", "http://a/", state): 1}
    told.sent_again()
    told.none_left()
    assert (counted(metrics, RETRIES), counted(metrics, NONE_LEFT)) == ({("p",): 1}, {("p",): 1})
