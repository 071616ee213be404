"""The results as Markdown tables, and the page whose marks they go between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from compare.results import BUSY, LOAD, Log, Measure, Results, judged
from compare.secured import ALL_SERVERS

BEGIN = "<!-- measured: begin; `make bench` writes what is between this line and the one that ends it -->"
END = "<!-- measured: end -->"
TITLES = {name: server.title for name, server in ALL_SERVERS.items()} | {"direct": "direct"}
PARTS = {
    1: "Hits",
    2: "Hits with heads that vary",
    3: "Distinct misses",
    4: "Stampede",
    5: "Hits beside slow readers",
    6: "A new connection for each request",
    7: "The index",
    8: "Memory",
    9: "In TLS",
    10: "Intercepted",
    11: "A route with tokens and limits",
}
SHARES = (BUSY, LOAD)
"""Units in which a ratio says nothing."""
LOGS: tuple[Log, ...] = ("off", "on")


def markdown(results: Results, facts: Sequence[str], pictures: Sequence[tuple[str, str]] = ()) -> str:
    """Facts, aims, pictures (what each shows, and its file), a table for each part that was measured."""
    found = {measure.part for measure in results.values} | {each.part for each in results.failures}
    if results.index:
        found.add(7)
    parts = [f"## {part}. {PARTS[part]}\n\n{_part(results, part)}" for part in sorted(found)]
    shown = [f"![{about}]({file})" for about, file in pictures]
    return "\n\n".join(["\n".join(f"- {fact}" for fact in facts), aims(results), *shown, *parts])


def aims(results: Results) -> str:
    """What was aimed at, and what was measured."""
    rows = []
    for aim, log, value in judged(results, LOGS):
        sign = "≥" if aim.bound == "at least" else "≤"
        of = f" x {TITLES.get(aim.of, aim.of)}" if aim.of else ""
        verdict = "met" if aim.met(value) else "**missed**"
        rows.append([f"{aim.what}: {aim.unit}", log, f"{sign} {aim.limit:g}{of}", f"{value:.2f}", verdict])
    if not rows:
        return "## Aims\n\nNothing was measured that anything was aimed at."
    return "## Aims\n\n" + table(["what", "access logs", "aim", "measured", ""], rows)


def _part(results: Results, part: int) -> str:
    said = [_index(results)] if part == 7 else [_measures(results, part)]
    failed = dict.fromkeys((each.server, each.log) for each in results.failures if each.part == part)
    said.append("\n".join(_failed(results, part, server, log) for server, log in failed))
    return "\n\n".join(filter(None, said))


def _failed(results: Results, part: int, server: str, log: Log) -> str:
    reasons = results.failed(part, server, log)
    times = "once" if len(reasons) == 1 else f"{len(reasons)} times"
    return f"- {TITLES[server]}, access logs {log}, failed {times}: {'; '.join(dict.fromkeys(reasons))}"


def _measures(results: Results, part: int) -> str:
    measures = sorted(results.measures(part), key=lambda measure: measure.log)
    units = list(dict.fromkeys(measure.unit for measure in measures))
    measures.sort(key=lambda measure: units.index(measure.unit))
    shown = [
        name
        for name in TITLES
        if any(
            name in results.values[measure] or results.failed(part, name, measure.log)
            for measure in measures
        )
    ]
    others = [name for name in shown if name != "ours"] if "ours" in shown else []
    head = ["", "access logs", *(TITLES[name] for name in shown), *(f"÷ {TITLES[name]}" for name in others)]
    rows = []
    for measure in measures:
        cells = [_value(results, measure, name) for name in shown]
        ratios = [_ratio(results, measure, name) for name in others]
        rows.append([f"{measure.what}: {measure.unit}", measure.log, *cells, *ratios])
    if not rows:
        return ""
    return "\n\n".join(filter(None, [table(head, rows), _spread(results, measures)]))


def _value(results: Results, measure: Measure, server: str) -> str:
    value = results.median(measure, server)
    if value is None:
        return "failed" if results.failed(measure.part, server, measure.log) else ""
    return number(value)


def _ratio(results: Results, measure: Measure, server: str) -> str:
    ratio = None if measure.unit in SHARES else results.ratio(measure, "ours", server)
    return "" if ratio is None else f"{ratio:.2f}"


def _spread(results: Results, measures: Sequence[Measure]) -> str:
    """How far the rounds lay apart, where it was worst."""
    widest, server, measure = max(
        (
            (results.spread(measure, server), server, measure)
            for measure in measures
            if measure.unit not in SHARES
            for server in results.values[measure]
        ),
        key=lambda one: one[0],
    )
    if not widest:
        return ""
    place = f"{TITLES[server]}, {measure.what}, {measure.unit}, access logs {measure.log}"
    return f"The rounds differ most by {widest:.0%} of their median ({place})."


def _index(results: Results) -> str:
    """A row for each figure, a column for each size."""
    if not results.index:
        return ""
    sizes = [f"{row['entries']:,.0f} entries" for row in results.index]
    names = [name for name in results.index[0] if name != "entries"]
    rows = [[name.replace("_", " "), *(number(row[name]) for row in results.index)] for name in names]
    return table(["", *sizes], rows)


def number(value: float) -> str:
    """With three digits or so, and commas between thousands."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for those who read the source; numbers to the right."""
    widths = [max(3, *(len(row[column]) for row in [head, *rows])) for column in range(len(head))]
    right = [
        all(re.match(r"[-\d.,]*$|failed$", row[column]) for row in rows) for column in range(len(head))
    ]

    def line(cells: Sequence[str]) -> str:
        fitted = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        return f"| {' | '.join(fitted)} |"

    rule = [
        "-" * (width - 1) + ":" if to_right else "-" * width
        for width, to_right in zip(widths, right, strict=True)
    ]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def inserted(page: str, text: str) -> str:
    """The page with the text between its marks; ValueError where it has not both, in this order."""
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs a line {BEGIN!r} and one {END!r}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def write(page: Path, text: str) -> None:
    """Puts the text into the page; ValueError as inserted()."""
    page.write_text(inserted(page.read_text(), text))
