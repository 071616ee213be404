"""Offline: what is stored answers all requests, at any age; the rest is fetched, which upstream refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample import NOW, URL, entry, get

from pyproxycache.messages import Entry, Part
from pyproxycache.outcome import Forward
from pyproxycache.rules.decide import offline_variant, on_request
from pyproxycache.rules.decisions import Assemble, Bypass, Fetch, Refuse, Serve
from pyproxycache.rules.policy import Policies, Policy, Rule

OFFLINE = Policies(offline=True).about(URL)
TAG = 'ETag: "a"'


def part(start: int, end: int, age: float) -> Entry:
    lines = (TAG, "Cache-Control: max-age=60", f"Content-Range: bytes {start}-{end}/10")
    stored = entry(*lines, status=206, age=age)
    return replace(stored, part=Part(start, end, 10), size=end - start + 1, id=start + 1)


@pytest.mark.parametrize(
    "stored",
    [
        entry("Cache-Control: max-age=60", age=50),
        entry("Cache-Control: max-age=60", age=1e9),
        entry("Cache-Control: max-age=60, must-revalidate", age=61),
        entry("Cache-Control: s-maxage=60, proxy-revalidate", age=61),
        entry("Cache-Control: no-cache", TAG),
        entry("Expires: 0", age=5),
        entry(TAG, status=404, age=1000),
    ],
)
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Cache-Control: no-cache"],
        ["Cache-Control: max-age=0"],
        ["Cache-Control: no-store"],
        ["Cache-Control: only-if-cached"],
        ["Cache-Control: min-fresh=1000"],
        ["Pragma: no-cache"],
    ],
)
def test_what_is_stored_answers(stored: Entry, lines: list[str]) -> None:
    for method in ("GET", "HEAD"):
        decision = on_request(get(*lines, method=method), [stored], OFFLINE, NOW)
        assert isinstance(decision, Serve)
        assert (decision.entry, decision.refresh) == (stored, False)
        assert decision.stale == (decision.ttl <= 0)


def test_a_rule_of_the_operator_makes_nothing_too_old() -> None:
    rules = Policies((Rule(policy=Policy(fresh=0, stale_if_error=0)),), offline=True).about(URL)
    assert isinstance(on_request(get(), [entry(TAG, age=5)], rules, NOW), Serve)


def test_stale_parts_that_suffice_are_an_answer() -> None:
    parts = [part(0, 4, 1e6), part(5, 9, 1e6)]
    decision = on_request(get("Range: bytes=3-6"), parts, OFFLINE, NOW)
    assert isinstance(decision, Assemble)
    assert decision.ttl < 0


def test_what_is_not_stored_is_fetched() -> None:
    assert isinstance(on_request(get(), [], OFFLINE, NOW), Fetch)
    assert isinstance(on_request(get(), [part(0, 4, 10)], OFFLINE, NOW), Fetch)
    assert on_request(get(method="POST"), [entry(TAG)], OFFLINE, NOW) == Bypass(Forward.METHOD)
    assert isinstance(on_request(get("Cache-Control: only-if-cached"), [], OFFLINE, NOW), Refuse)


JSON, HTML = "application/json", "text/html"


@pytest.mark.parametrize(
    ("vary", "stored_type", "lines", "served"),
    [
        ("accept", JSON, ["Accept: application/json;q=0.9, text/html"], True),
        ("accept", JSON, ["Accept: application/*"], True),
        ("accept", JSON, ["Accept: */*"], True),
        ("accept", JSON, [], True),
        ("accept", JSON, ["Accept: text/html"], False),
        ("accept", JSON, ["Accept: */*, application/json;q=0"], False),
        ("accept", JSON, ["Accept: application/*;q=0, application/json"], True),
        ("accept-encoding", JSON, ["Accept-Encoding: br"], True),
        ("accept-language", HTML, ["Accept-Language: de"], True),
        ("cookie", JSON, ["Cookie: a=b"], False),
        ("user-agent", JSON, ["User-Agent: other"], False),
        ("accept", JSON, ["X-Forwarded-Host: other"], False),
    ],
)
def test_a_variant_for_others_is_better_than_none(
    vary: str, stored_type: str, lines: list[str], served: bool
) -> None:
    stored = replace(entry(f"Content-Type: {stored_type}", f"Vary: {vary}", age=1e6), vary=((vary, "x"),))
    for method in ("GET", "HEAD"):
        decision = offline_variant(get(*lines, method=method), [stored], OFFLINE, NOW)
        assert (decision is not None) == served
    coded = replace(stored, head=entry("Content-Encoding: zstd", TAG).head)
    assert offline_variant(get(*lines), [coded], OFFLINE, NOW) is None
    assert offline_variant(get(*lines, method="POST"), [stored], OFFLINE, NOW) is None
    assert offline_variant(get(*lines), [part(0, 4, 5)], OFFLINE, NOW) is None
