"""The results as bars: one picture for each kind of load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from compare import results as the
from compare.page import TITLES, number
from compare.results import Log, Measure, Results

COLOURS = {
    "ours": "#c0392b",
    "nginx": "#2e8b57",
    "squid": "#2f6fae",
    "varnish": "#8e6fb0",
    "direct": "#777777",
}
LOGS: tuple[Log, ...] = ("off", "on")


@dataclass(frozen=True)
class Panel:
    """One quantity of all servers; `wide` spreads small differences by a logarithmic scale."""

    part: int
    what: str
    unit: str
    wide: bool = False


SIZES = ("1 KB", "100 KB", "10 MB")
CROWDS = tuple(the.STAMPEDE.format(clients) for clients in (50, 500))
PICTURES: dict[str, tuple[Panel, ...]] = {
    "hits": tuple(Panel(1, f"{size} hits", the.RATE) for size in SIZES),
    "hits-p99": tuple(Panel(1, f"{size} hits", the.P99, wide=True) for size in SIZES),
    "loads": (
        Panel(2, the.VARYING.format("1 KB"), the.RATE),
        Panel(3, the.DISTINCT, the.RATE),
        Panel(6, the.CONNECTIONS, the.RATE),
    ),
    "slow-readers": (Panel(5, the.WITHOUT, the.P99, wide=True), Panel(5, the.WITH, the.P99, wide=True)),
    "stampede": (
        *(Panel(4, crowd, the.SECONDS) for crowd in CROWDS),
        *(Panel(4, crowd, the.FIRST, wide=True) for crowd in CROWDS),
    ),
    "memory": tuple(
        Panel(8, what, the.MEGABYTES) for what in ("at rest", the.IDLE, the.MOST.format(CROWDS[1]))
    ),
}
ABOUT = {
    "hits": "Requests per second for hits of three sizes",
    "hits-p99": "The 99th percentile of the time that a hit takes, for three sizes",
    "loads": "Requests per second with varying heads, of misses, and with new connections",
    "slow-readers": "The 99th percentile of the time that a hit takes, without and beside slow readers",
    "stampede": "Total time and time to the first byte of a stampede",
    "memory": "Memory at rest, for idle connections, and during a stampede",
}


def draw(results: Results, folder: Path) -> list[tuple[str, str]]:
    """Writes a PNG for each picture that something was measured for; file names, and what they show."""
    folder.mkdir(exist_ok=True)
    drawn = []
    for name, panels in PICTURES.items():
        there = [panel for panel in panels if _measures(results, panel)]
        if there:
            _picture(results, there, folder / f"{name}.png")
            drawn.append((f"{name}.png", ABOUT[name]))
    return drawn


def _picture(results: Results, panels: list[Panel], path: Path) -> None:
    columns = 2 if len(panels) == 4 else len(panels)
    rows = len(panels) // columns
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for panel, axis in zip(panels, axes.flat, strict=True):
        _bars(results, panel, axis)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(results: Results, panel: Panel, axis: Axes) -> None:
    """Two bars for each server where there are figures with access logs as well, the second hatched."""
    measures = _measures(results, panel)
    names = [name for name in COLOURS if any(name in results.values[measure] for measure in measures)]
    width = 0.8 / len(measures)
    for order, measure in enumerate(measures):
        for place, name in enumerate(names):
            value = results.median(measure, name)
            if value is not None:
                left = place - 0.4 + order * width
                hatch = "///" if measure.log == "on" else None
                bar = axis.bar(
                    left, value, width, align="edge", color=COLOURS[name], hatch=hatch, edgecolor="white"
                )
                axis.bar_label(bar, [number(value)], fontsize=7, padding=1)
    axis.set_xticks(range(len(names)), [TITLES[name] for name in names], fontsize=8)
    logs = " (hatched: access logs on)" if len(measures) > 1 else ""
    axis.set_title(f"{panel.what}\n{panel.unit}{logs}", fontsize=9)
    axis.tick_params(axis="y", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(y=0.12)
    if panel.wide:
        axis.set_yscale("log")


def _measures(results: Results, panel: Panel) -> list[Measure]:
    every = [Measure(panel.part, panel.what, panel.unit, log) for log in LOGS]
    return [measure for measure in every if measure in results.values]
