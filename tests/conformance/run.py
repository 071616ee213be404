"""How this cache does in the public suite of HTTP cache tests: `make conformance`.

The suite's client goes to the suite's server through a proxy with 2 workers, as a reverse proxy and as a
forward proxy. Exit status 1 where a required or optimal test fails that accepted.yaml does not have, or
where one that it has passes in both modes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

sys.path.insert(0, str(Path(__file__).parent.parent))

import yaml
from rich.console import Console
from rich.table import Table
from suite import PACKAGE, TOTALS, VERSION, Mode, Run, Unavailable, Verdict, install

ACCEPTED = Path(__file__).parent / "accepted.yaml"
Results = Mapping[Mode, Sequence[Verdict]]


def accepted() -> dict[str, str]:
    """Test id -> the section that says why failing it is right."""
    groups = yaml.safe_load(ACCEPTED.read_text())
    return {test: group["section"] for group in groups for test in group["tests"]}


def complaints(results: Results, known: Mapping[str, str]) -> list[str]:
    """What is not as the list of accepted failures has it, a line each; empty where all is well."""
    found = [
        f"{test} ({kind}) fails as {modes} proxy: {why}"
        for (test, kind, why), modes in failures(results).items()
        if test not in known
    ]
    for mode, verdicts in results.items():
        missing = known.keys() - {verdict.id for verdict in verdicts}
        found += [
            f"{test} is accepted, and the {mode.value} run has no such test" for test in sorted(missing)
        ]
    if set(results) == set(Mode):
        passed = [{verdict.id for verdict in verdicts if verdict.passed} for verdicts in results.values()]
        better = known.keys() & set.intersection(*passed)
        found += [f"{test} passes in both modes: take it out of accepted.yaml" for test in sorted(better)]
    return found


def failures(results: Results) -> dict[tuple[str, str, str], str]:
    """The required and optimal tests that fail: id, kind and what the suite says -> the modes."""
    failed: dict[tuple[str, str, str], str] = {}
    for mode, verdicts in results.items():
        for verdict in verdicts:
            if verdict.counts and not verdict.passed:
                what = (verdict.id, verdict.kind, verdict.why)
                failed[what] = f"{failed[what]} and {mode.value}" if what in failed else mode.value
    return failed


def counts(results: Results) -> Table:
    """How many tests of each kind passed."""
    table = Table(title=f"{PACKAGE} {VERSION}: passed", title_justify="left")
    table.add_column("proxy")
    for kind in TOTALS:
        table.add_column(kind, justify="right")
    for mode, verdicts in results.items():
        row = []
        for kind in TOTALS:
            of_kind = [verdict for verdict in verdicts if verdict.kind == kind]
            row.append(f"{sum(verdict.passed for verdict in of_kind)} of {len(of_kind)}")
        table.add_row(mode.value, *row)
    return table


def remarks(results: Results, known: Mapping[str, str]) -> Iterator[str]:
    """What else there is to know: accepted failures, check tests that say no, and second runs."""
    failed = {test for test, _kind, _why in failures(results)}
    by_section: dict[str, list[str]] = {}
    for test, section in known.items():
        if test in failed:
            by_section.setdefault(section, []).append(test)
    yield "accepted failures (accepted.yaml has the reasons):"
    yield from (f"  {section}: {', '.join(tests)}" for section, tests in by_section.items())
    yield "check tests answered with no (they only ask what a cache does):"
    for mode, verdicts in results.items():
        no = [verdict.id for verdict in verdicts if verdict.kind == "check" and not verdict.passed]
        yield f"  {mode.value}: {', '.join(no)}"
        for verdict in verdicts:
            if verdict.again and verdict.passed:
                yield f"  {mode.value}: {verdict.id} passed only alone, not at first: {verdict.why}"


def measure(mode: Mode, package: Path, known: Mapping[str, str]) -> list[Verdict]:
    """Runs the whole suite in this mode."""
    with TemporaryDirectory() as folder, Run(mode, package, Path(folder)) as run:
        return run.verdicts(known)


def show_one(test: str, modes: Sequence[Mode], package: Path) -> int:
    """Prints what client and server of the suite exchange in one test; 1 where it fails."""
    status = 0
    for mode in modes:
        print(f"{mode.value} proxy", flush=True)
        with TemporaryDirectory() as folder, Run(mode, package, Path(folder), log=sys.stderr) as run:
            for verdict in run.client([test], dump=True):
                print(f"{verdict.id} ({verdict.kind}): {'passed' if verdict.passed else verdict.why}")
                status |= not verdict.passed
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], help="only this way in")
    parser.add_argument("--id", metavar="TEST", help="run this test alone and print its messages")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results here")
    options = parser.parse_args()
    modes = [Mode(options.mode)] if options.mode else list(Mode)
    try:
        package = install()
    except Unavailable as error:
        print(f"cannot run {PACKAGE}: {error}", file=sys.stderr)
        return 1
    if options.id:
        return show_one(options.id, modes, package)
    known, started = accepted(), monotonic()
    results = {mode: measure(mode, package, known) for mode in modes}
    if options.json:
        plain = {mode.value: [asdict(verdict) for verdict in found] for mode, found in results.items()}
        options.json.write_text(json.dumps(plain, indent=1))
    wrong = complaints(results, known)
    console = Console(highlight=False)
    console.print(counts(results))
    console.print("\n".join(remarks(results, known)), soft_wrap=True)
    for line in wrong:
        console.print(f"[red]{line}", soft_wrap=True)
    end = f"not as accepted.yaml has it: {len(wrong)}" if wrong else "as accepted.yaml has it"
    console.print(f"{end} ({monotonic() - started:.0f} s)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
