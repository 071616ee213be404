"""Whether what is stored is of one generation with what changes together with it."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.rules.generations import is_behind
from pyproxycache.rules.grammar import format_http_date

NOW = 1_000_000.0


def entry(at: float, changed: float | None = None, status: int = 200) -> Entry:
    """One that was fetched or validated so many seconds from NOW, and changed by its origin then."""
    fields = [] if changed is None else [("Last-Modified", format_http_date(NOW + changed))]
    head = Head(status, "", Headers(fields))
    return Entry("http://h/a", head, request_time=NOW + at, response_time=NOW + at)


@pytest.mark.parametrize(
    ("own", "others", "is_so"),
    [
        pytest.param(entry(-200), [], False, id="alone"),
        pytest.param(entry(-200), [entry(-198)], False, id="at once"),
        pytest.param(entry(-200), [entry(-100)], True, id="another one is newer"),
        pytest.param(entry(-100), [entry(-200)], False, id="another one is older"),
        pytest.param(entry(-200), [entry(-300), entry(-100)], True, id="one of two is newer"),
        pytest.param(entry(-200), [entry(-100, status=404)], False, id="another one is not there"),
        pytest.param(entry(-200, status=404), [entry(-100)], False, id="it is not there"),
        pytest.param(entry(-200, changed=-210), [entry(-200)], True, id="just changed"),
        pytest.param(entry(-200), [entry(-200, changed=-210)], True, id="another one just changed"),
        pytest.param(entry(-2, changed=-12), [entry(-2)], False, id="just changed, and just fetched"),
        pytest.param(entry(-200, changed=-900), [entry(-200, changed=-901)], False, id="settled"),
    ],
)
def test_which_is_behind(own: Entry, others: list[Entry], is_so: bool) -> None:
    assert is_behind(own, others, NOW) == is_so
