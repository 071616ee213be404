"""Package mirrors beside apt-cacher-ng, proxpi, Verdaccio, and beside no cache: `make bench-mirrors`.

Each round has all ways by turns, every cache alone on the first core with an empty store; clients and
upstream are on the second. Cold is the first machine of a cache, warm are those that follow. CPU time is
the cache's. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "e2e" / "mirrors"))

from compare.machine import hardware
from compare.servers import Server
from mirrored.caches import OurMirrors
from mirrored.clients import Apt, Npm, PackageClient, Pip
from mirrored.packages import size_of
from mirrored.upstream import Upstream

AIMS = {"cold": 1.0, "warm": 0.7}
"""Of the peer's."""
OF_DIRECT = 1.05
DIRECT = "direct"


@dataclass(frozen=True)
class Figures:
    """Seconds of the client, CPU seconds of the cache, and requests to the upstream, for each machine."""

    seconds: float
    cpu: float
    asked: float


Found = dict[tuple[str, str], list[Figures]]
"""By way, and cold or warm; one for each round."""


def main() -> None:
    options = parse()
    here = os.sched_getaffinity(0)
    cores = tuple(int(core) for core in options.cores.split(","))
    if not set(cores) <= here or len(cores) != 2:
        sys.exit(f"two cores are needed, of {sorted(here)}; --cores names them")
    os.sched_setaffinity(0, {cores[1]})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives us
    kinds = [OurMirrors, *(kind.peer for kind in (Apt, Pip, Npm))]
    versions = [f"{kind.title} {kind.version()}" for kind in kinds if shutil.which(kind.program)]
    facts = [*hardware(), f"Python {platform.python_version()}; {', '.join(versions)}"]
    print(*(f"- {fact}" for fact in facts), sep="\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for part in options.parts.split(","):
            folder = Path(name) / part
            folder.mkdir()
            upstream = Upstream(options.delay / 1000)
            client = made(part, upstream, folder, options)
            if client is not None:
                with upstream.serving(client.tree):
                    found = Turns(client, upstream, folder, cores[0], options).run()
                tell(client, found)


def made(part: str, upstream: Upstream, folder: Path, options: argparse.Namespace) -> PackageClient | None:
    """The client with its packages; None, and a line about it, where a program is missing."""
    kinds: Mapping[str, tuple[type[PackageClient], Callable[[], PackageClient]]] = {
        "apt": (Apt, lambda: Apt(upstream, folder, options.debs, options.large, int(options.size * 1e6))),
        "pip": (Pip, lambda: Pip(upstream, options.packages)),
        "npm": (Npm, lambda: Npm(upstream, options.packages)),
    }
    kind, make = kinds[part]
    for program in kind.needs:
        if shutil.which(program) is None:
            print(f"\n{part} is left out: {program} is not installed")
            return None
    return make()


class Turns:
    """All ways by turns, each round beginning with another one."""

    def __init__(
        self,
        client: PackageClient,
        upstream: Upstream,
        folder: Path,
        core: int,
        options: argparse.Namespace,
    ) -> None:
        self._client, self._upstream, self._folder, self._core = client, upstream, folder, core
        self._rounds, self._warm, self._settle = options.rounds, options.warm, options.settle
        self._ways: list[type[Server] | None] = [None, OurMirrors]
        if shutil.which(client.peer.program) is None:
            print(f"\n{client.peer.title} is left out: it is not installed")
        else:
            self._ways.append(client.peer)

    def run(self) -> Found:
        found: Found = {}
        self._figures(None, 1)  # so that the client's own files are in memory for whoever is first
        for number in range(self._rounds):
            turn = number % len(self._ways)
            for kind in self._ways[turn:] + self._ways[:turn]:
                title = kind.title if kind else DIRECT
                opened = kind(self._folder / "cache", self._core, self._upstream.netloc) if kind else None
                with opened or nullcontext() as cache:
                    found.setdefault((title, "cold"), []).append(self._figures(cache, 1))
                    found.setdefault((title, "warm"), []).append(self._figures(cache, self._warm))
        return found

    def _figures(self, cache: Server | None, times: int) -> Figures:
        """Means of so many machines in turn; what the cache does a little later is its CPU time, too."""
        asked, used, seconds = self._upstream.asked, cache.cpu() if cache else 0.0, 0.0
        for _ in range(times):
            machine_folder = self._folder / "machine"
            began = time.monotonic()
            self._client.run(machine_folder, cache)
            seconds += time.monotonic() - began
            shutil.rmtree(machine_folder)
        if cache:
            time.sleep(self._settle)
            used = cache.cpu() - used
        return Figures(seconds / times, used / times, (self._upstream.asked - asked) / times)


def tell(client: PackageClient, found: Found) -> None:
    """Prints a table, and what was aimed at; ratios are medians of those in each round."""
    print(f"\n{client.what}, {size_of(client.tree) / 1e6:.0f} MB in all:\n")
    titles = list(dict.fromkeys(title for title, _state in found))
    titles.sort(key=[DIRECT, OurMirrors.title, client.peer.title].index)
    head = ["", "cold, s", "warm, s", "cold: CPU, s", "warm: CPU, s", "asked, cold", "asked, warm"]
    print(f"| {' | '.join(head)} |\n|---|{'--:|' * 6}")
    for title in titles:
        both = [found[title, state] for state in AIMS]
        cells = [f"{middle(one, 'seconds'):.2f}" for one in both]
        cells += ["" if title == DIRECT else f"{middle(one, 'cpu'):.3f}" for one in both]
        cells += [f"{middle(one, 'asked'):.0f}" for one in both]
        print(f"| {title} | {' | '.join(cells)} |")
    print()
    for state, limit in AIMS.items():
        if client.peer.title in titles:
            for what in ("seconds", "cpu"):
                judge(found, state, client.peer.title, what, limit)
        judge(found, state, DIRECT, "seconds", OF_DIRECT)


def middle(rounds: list[Figures], what: str) -> float:
    return statistics.median(getattr(one, what) for one in rounds)


def judge(found: Found, state: str, other: str, what: str, limit: float) -> None:
    """Prints one line: the ratio, the aim, and whether it is met."""
    ours, theirs = found[OurMirrors.title, state], found[other, state]
    pairs = [
        getattr(one, what) / (getattr(two, what) or float("nan"))
        for one, two in zip(ours, theirs, strict=True)
    ]
    ratio = statistics.median(pairs)
    verdict = "met" if ratio <= limit else "missed"
    span = f"{min(pairs):.2f} to {max(pairs):.2f}"
    print(f"- {state}, {what}: {ratio:.2f} x {other} ({span}; aim: {limit:g}, {verdict})")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="apt,pip,npm", help="only these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=3, help="machines that follow the first one")
    parser.add_argument("--debs", type=int, default=200, help="packages of apt")
    parser.add_argument("--large", type=int, default=3, help="of them, how many are large")
    parser.add_argument("--size", type=float, default=20.0, help="megabytes of a large one")
    parser.add_argument("--packages", type=int, default=50, help="of pip and npm")
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds before each answer")
    parser.add_argument("--settle", type=float, default=0.5, help="seconds before CPU time is read")
    parser.add_argument("--cores", default="0,1", help="the cache's, and that of clients and upstream")
    return parser.parse_args()


if __name__ == "__main__":
    main()
