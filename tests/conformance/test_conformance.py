"""The public suite of HTTP cache tests, in both modes: no test fails but those of accepted.yaml."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from run import accepted, complaints, measure
from suite import TOTALS, Mode, Unavailable, Verdict, install

Results = dict[Mode, list[Verdict]]


@pytest.fixture(scope="session")
def package() -> Path:
    try:
        return install()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def results(package: Path) -> Results:
    return {mode: measure(mode, package, accepted()) for mode in Mode}


@pytest.mark.timeout(600)
def test_only_what_is_accepted_fails(results: Results) -> None:
    assert complaints(results, accepted()) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", Mode)
def test_every_test_ran(results: Results, mode: Mode) -> None:
    assert Counter(verdict.kind for verdict in results[mode]) == TOTALS


def verdict(test: str, passed: bool, kind: str = "required") -> Verdict:
    return Verdict(test, test, kind, passed, "" if passed else "Assertion: no")


GOOD, BAD = verdict("a", True), verdict("a", False)


@pytest.mark.parametrize(
    ("reverse", "forward", "known", "complained"),
    [
        (GOOD, GOOD, [], []),
        (BAD, BAD, ["a"], []),
        (GOOD, BAD, ["a"], []),
        (GOOD, BAD, [], ["a (required) fails as forward proxy: Assertion: no"]),
        (verdict("a", False, "optimal"), GOOD, [], ["a (optimal) fails as reverse proxy: Assertion: no"]),
        (BAD, BAD, [], ["a (required) fails as reverse and forward proxy: Assertion: no"]),
        (verdict("a", False, "check"), GOOD, [], []),
        (GOOD, GOOD, ["a"], ["a passes in both modes: take it out of accepted.yaml"]),
        (
            GOOD,
            GOOD,
            ["b"],
            [f"b is accepted, and the {mode.value} run has no such test" for mode in Mode],
        ),
    ],
)
def test_the_list_is_exact(
    reverse: Verdict, forward: Verdict, known: list[str], complained: list[str]
) -> None:
    results = {Mode.REVERSE: [reverse], Mode.FORWARD: [forward]}
    assert complaints(results, dict.fromkeys(known, "")) == complained
