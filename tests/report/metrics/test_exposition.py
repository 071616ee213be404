"""The text that Prometheus reads, read again by its own parser and checked by its own tool."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from promtool import TOOL, problems_of

from pyproxycache.report.metrics.exposition import exposed
from pyproxycache.report.metrics.family import Family, Kind
from pyproxycache.report.metrics.metrics import Metrics

COUNT = Family("t_count", "Counts.", labels=("a",))
LEVEL = Family("t_level", "A level.", Kind.GAUGE)
SIZES = Family("t_sizes", "Sizes.", Kind.HISTOGRAM, ("a",), (0.5, 10.0))
NONE = Family("t_none", "Nothing is counted yet.", labels=("a",))
HOSTILE = ['"', "\\", "\n", 'x="y"} 1\nt_level 9', "\N{SNOWMAN}", "", " ", "{}", "#"]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def metrics() -> Metrics:
    made = Metrics()
    made.declare(COUNT, LEVEL, SIZES, NONE)
    return made


def read(made: Metrics) -> Samples:
    text = exposed(made.look())
    assert problems_of(text) == ""
    families = text_string_to_metric_families(text.decode())
    return {
        (one.name, frozenset(one.labels.items())): one.value for each in families for one in each.samples
    }


@pytest.mark.parametrize("label", HOSTILE)
def test_labels_are_read_as_they_were_counted(label: str) -> None:
    made = metrics()
    made.add(COUNT, 3, label)
    found = read(made)
    assert found["t_count_total", frozenset({("a", label)})] == 3.0
    assert ("t_level", frozenset()) not in found


def test_a_histogram_is_read_with_its_buckets_summed_up() -> None:
    made = metrics()
    for value in (0.1, 0.2, 5.0, 50.0):
        made.observe(SIZES, value, "x")
    found = read(made)
    x = ("a", "x")
    buckets = {at: found["t_sizes_bucket", frozenset({x, ("le", at)})] for at in ("0.5", "10", "+Inf")}
    assert buckets == {"0.5": 2.0, "10": 3.0, "+Inf": 4.0}
    assert found["t_sizes_count", frozenset({x})] == 4.0
    assert found["t_sizes_sum", frozenset({x})] == pytest.approx(55.3)


def test_a_family_without_series_is_there_with_its_help() -> None:
    text = exposed(metrics().look()).decode()
    assert "# HELP t_none_total Nothing is counted yet." in text
    assert "# TYPE t_none_total counter" in text


@pytest.mark.parametrize("value", [0.0, 0.1, 1e15, 2.0**53, 1e300])
def test_numbers_are_read_as_they_were_counted(value: float) -> None:
    made = metrics()
    made.put(LEVEL, value)
    assert read(made)["t_level", frozenset()] == value


@pytest.mark.skipif(TOOL is None, reason="promtool is not installed")
def test_the_tool_finds_what_is_wrong() -> None:
    assert problems_of(b"x{ 1\n") != ""
