"""Clients that ask in pieces for a cold object, beside the same without the cache: `make bench-segments`.

From an origin that is as fast as it can be, and from one that limits the speed of each connection; both
take 10 ms to answer. Two workers. Bytes are those that came to the other side's kernel, heads included,
until a second after the client was done; bodies are checked by their digest. Figures are medians.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import Proxy
from origin import Generated, Origin, OriginProcess
from segmented import CLIENTS, missing

MB = 1_000_000
HEAD_DELAY = 0.01
SETTLED = 1.0


@dataclass(frozen=True)
class Speed:
    """How fast an origin sends on each connection (bytes a second, None: as it can), and a fitting size."""

    name: str
    rate: int | None
    size: int


SPEEDS = (Speed("unlimited", None, 100 * MB), Speed("4 MB/s a connection", 4 * MB, 32 * MB))


@dataclass(frozen=True)
class Run:
    """One download: seconds, and bytes that the origin sent for each byte of the object."""

    seconds: float
    bytes: float


class Bench:
    """Runs clients against objects that nobody has asked for before."""

    def __init__(self, origin: Origin, proxy: Proxy, folder: Path) -> None:
        self._origin = origin
        self._proxy = proxy
        self._folder = folder
        self._count = 0

    def run(self, client: str, speed: Speed, *, cached: bool) -> Run:
        """Raises ValueError where the body is not the origin's."""
        self._count += 1
        path, folder = f"/{self._count}", self._folder / str(self._count)
        folder.mkdir()
        body = Generated(speed.size, seed=self._count)
        fields = {"etag": f'"{self._count}"', "cache_control": "max-age=3600"}
        self._origin.put(path, body, rate=speed.rate, head_delay=HEAD_DELAY, **fields)
        before, begun = self._origin.delivered, time.monotonic()
        digest = CLIENTS[client](self._origin.url(path), self._proxy.url if cached else None, folder)
        seconds = time.monotonic() - begun
        time.sleep(SETTLED)
        if digest != body.sha256():
            raise ValueError(f"{client}: the body is not the origin's")
        for file in folder.iterdir():
            file.unlink()
        return Run(seconds, (self._origin.delivered - before) / speed.size)

    def row(self, client: str, speed: Speed, rounds: int) -> str:
        runs = [[self.run(client, speed, cached=cached) for cached in (False, True)] for _ in range(rounds)]
        direct, cached = ([pair[side] for pair in runs] for side in (0, 1))
        cells = [
            f"{median(run.bytes for run in direct):.3f}",
            f"{median(run.bytes for run in cached):.3f}",
            f"{median(run.seconds for run in direct):.2f}",
            f"{median(run.seconds for run in cached):.2f}",
            f"{median(b.seconds / a.seconds for a, b in zip(direct, cached, strict=True)):.2f}",
        ]
        return f"| {client} | {speed.name} | {' | '.join(cells)} |"


def table(bench: Bench, clients: list[str], rounds: int) -> Iterator[str]:
    yield "| client | origin | bytes ÷ file, direct | bytes ÷ file | direct, s | s | time ÷ direct |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for speed in SPEEDS:
        for client in clients:
            if missing(client):
                yield f"| {client} | {speed.name} | not installed |"
            else:
                yield bench.row(client, speed, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        OriginProcess() as origin,
        Proxy(Path(folder) / "proxy", workers=options.workers) as proxy,
    ):
        for line in table(Bench(origin, proxy, Path(folder)), options.clients.split(","), options.rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
