"""pyproxycache beside nginx, Squid, Varnish and mitmproxy, on the same core in the same run: `make bench`.

Prints medians and ratios. With --write PAGE they go between the marks of that page, and plots beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parent.parent))

from compare import page
from compare.machine import facts
from compare.results import Log
from compare.rounds import ALL, Plan, Rounds
from compare.secured import ALL_SERVERS
from compare.servers import Before

FILES = 20_000
"""Descriptors that 2,000 slow readers, their server and its files may need."""


def main() -> None:
    options = parse()
    if options.before:
        Before.python = Before.program = options.before
    else:
        options.servers = [name for name in options.servers if name != Before.name]
    plan = Plan(
        options.parts, options.rounds, options.seconds, options.servers, options.logs, options.cores
    )
    here = os.sched_getaffinity(0)
    if not set(plan.cores) <= here or len(set(plan.cores)) < 2:
        sys.exit(f"two cores are needed, of {sorted(here)}; --cores names them")
    if options.write:
        from compare import plots  # before anything is measured, should matplotlib be missing

        try:
            page.inserted(options.write.read_text(), "")
        except (OSError, ValueError) as failure:
            sys.exit(f"{options.write}: {failure}")
    os.sched_setaffinity(0, {plan.cores[1]})
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives us
    told = facts(plan.servers, plan.rounds, plan.seconds)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)  # Squid gives up root and has to come through
        results = Rounds(plan, Path(folder)).run()
    print(page.markdown(results, told))
    if options.write:
        images = plots.draw(results, options.write.parent / "images")
        shown = [(about, f"images/{name}") for about, name in images]
        page.write(options.write, page.markdown(results, told, shown))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=numbers, default=ALL, help="1,3,6: only these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="that each load lasts")
    parser.add_argument("--servers", type=names, default=list(ALL_SERVERS), help=",".join(ALL_SERVERS))
    parser.add_argument("--before", metavar="PYTHON", help="the Python of a checkout of an earlier version")
    parser.add_argument("--logs", type=logs, default=get_args(Log), help="off, on or both: access logs")
    parser.add_argument("--cores", type=numbers, default=(0, 1), help="the servers', and the load's")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write it to docs/benchmarks.md")
    return parser.parse_args()


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def names(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(ALL_SERVERS):
        raise argparse.ArgumentTypeError(
            f"no server is called {unknown.pop()}; there are {', '.join(ALL_SERVERS)}"
        )
    return text.split(",")


def logs(text: str) -> tuple[str, ...]:
    if text not in ("off", "on", "both"):
        raise argparse.ArgumentTypeError("off, on or both")
    return get_args(Log) if text == "both" else (text,)


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    main()
