"""The results as bars: one picture for each kind of load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from compare import results as the
from compare.page import TITLES, number
from compare.results import Measure, Results

COLOURS = {
    "ours": "#c0392b",
    "nginx": "#2e8b57",
    "squid": "#2f6fae",
    "varnish": "#8e6fb0",
    "mitmproxy": "#c28a2c",
    "before": "#e8a39b",
    "direct": "#777777",
}


@dataclass(frozen=True)
class Panel:
    """One quantity of all servers, and a second one hatched beside it; `wide`: on a logarithmic scale."""

    measure: Measure
    second: Measure | None = None
    hatched: str = ""
    wide: bool = False


def _logged(part: int, what: str, unit: str) -> Panel:
    """The same without and with access logs."""
    return Panel(Measure(part, what, unit), Measure(part, what, unit, "on"), "access logs on")


SIZES = ("1 KB", "100 KB", "10 MB")
CROWDS = tuple(the.STAMPEDE.format(clients) for clients in (50, 500))
SLOWED = Panel(Measure(5, the.WITHOUT, the.P99), Measure(5, the.WITH, the.P99), "2,000 slow readers")
PICTURES: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "hits": (
        "Requests per second, and the 99th percentile of the time that one takes, for hits of three sizes",
        tuple(_logged(1, f"{size} hits", unit) for unit in (the.RATE, the.P99) for size in SIZES),
    ),
    "loads": (
        "Hits with varying heads, misses, new connections; hits beside slow readers",
        (
            _logged(2, the.VARYING.format("1 KB"), the.RATE),
            _logged(3, the.DISTINCT, the.RATE),
            _logged(6, the.CONNECTIONS, the.RATE),
            SLOWED,
        ),
    ),
    "stampede": (
        "Total time and time to the first byte of a stampede",
        (
            *(Panel(Measure(4, crowd, the.SECONDS)) for crowd in CROWDS),
            *(Panel(Measure(4, crowd, the.FIRST), wide=True) for crowd in CROWDS),
        ),
    ),
    "memory": (
        "Memory at rest, for idle connections, and during a stampede",
        tuple(
            Panel(Measure(8, what, the.MEGABYTES))
            for what in ("at rest", the.IDLE, the.MOST.format(CROWDS[1]))
        ),
    ),
}


def draw(results: Results, folder: Path) -> list[tuple[str, str]]:
    """Writes a PNG for each picture that something was measured for; what they show, and file names."""
    folder.mkdir(exist_ok=True)
    drawn = []
    for name, (about, panels) in PICTURES.items():
        there = [panel for panel in panels if panel.measure in results.values]
        if there:
            _picture(results, there, folder / f"{name}.png")
            drawn.append((about, f"{name}.png"))
    return drawn


def _picture(results: Results, panels: list[Panel], path: Path) -> None:
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for panel, axis in zip(panels, axes.flat, strict=False):
        _bars(results, panel, axis)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(results: Results, panel: Panel, axis: Axes) -> None:
    """One or two bars for each server."""
    measures = [measure for measure in (panel.measure, panel.second) if measure in results.values]
    names = [name for name in COLOURS if any(_label(results, measure, name) for measure in measures)]
    width = 0.8 / len(measures)
    for order, measure in enumerate(measures):
        bars = axis.bar(
            [place - 0.4 + order * width for place in range(len(names))],
            [results.median(measure, name) or float(panel.wide) for name in names],
            width,
            align="edge",
            color=[COLOURS[name] for name in names],
            hatch="///" if measure is panel.second else None,
            edgecolor="white",
        )
        labels = [_label(results, measure, name) for name in names]
        axis.bar_label(bars, labels, fontsize=7, padding=1)
    hatched = f" (hatched: {panel.hatched})" if len(measures) > 1 else ""
    axis.set_title(f"{panel.measure.what}\n{panel.measure.unit}{hatched}", fontsize=9)
    axis.set_xticks(range(len(names)), [TITLES[name] for name in names], fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(y=0.12)
    if panel.wide:
        axis.set_yscale("log")
        axis.set_ylim(bottom=1)
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}" if panel.wide else "{x:,g}"))


def _label(results: Results, measure: Measure, name: str) -> str:
    """The figure, "failed", or nothing where it was not to be measured."""
    value = results.median(measure, name)
    if value is not None:
        return number(value)
    return "failed" if results.failed(measure.part, name, measure.log) else ""
