"""The page and the rules for alerts speak of the metrics that there are, all of them and no others."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest
from promtool import TOOL

import pyproxycache.report
import pyproxycache.wiring
from pyproxycache.report.metrics.family import Family, Kind

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "admin.md"
RULES = ROOT / "contrib" / "prometheus" / "pyproxycache.rules.yml"
CONFIGURATION = RULES.with_name("pyproxycache.yml")
_ROW = re.compile(r"\| `(pyproxycache_\w+)` \| ?([\w, ]*?) ?\| .+ \|")


def families() -> dict[str, Family]:
    """All families that modules define, by the names that Prometheus has for them."""
    found: dict[str, Family] = {}
    for package in (pyproxycache.report, pyproxycache.wiring):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(info.name)).values():
                if isinstance(value, Family):
                    found[value.name + "_total" * (value.kind is Kind.COUNTER)] = value
    return found


def test_the_page_has_each_metric_with_its_labels() -> None:
    rows = [found.groups() for line in PAGE.read_text().splitlines() if (found := _ROW.fullmatch(line))]
    told = {name: tuple(filter(None, labels.split(", "))) for name, labels in rows}
    assert len(told) == len(rows)
    assert told == {name: family.labels for name, family in families().items()}


def test_the_rules_speak_of_metrics_and_labels_that_there_are() -> None:
    known = families()
    for name, braces in re.findall(r"\b(pyproxycache_\w+)(?:\{([^}]*)\})?", RULES.read_text()):
        assert name in known
        assert set(re.findall(r"(\w+)=~?", braces)) <= set(known[name].labels)


@pytest.mark.skipif(TOOL is None, reason="promtool is not installed")
def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    for kind, path in (("rules", RULES), ("config", CONFIGURATION)):
        syntax = ["--syntax-only"] if kind == "config" else []  # the token is on other machines
        done = subprocess.run(
            [str(TOOL), "check", kind, *syntax, str(path)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
