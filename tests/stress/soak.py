"""Mixed load for minutes: every byte is checked, and memory, threads and descriptors are told over time.

Run by `make soak`; ARGS="--minutes 30". Exit status 1: a wrong byte, an error that no kill explains, or a
store that is not clean in the end.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Download, Proxy, clean_environment
from origin import Generated, Origin, OriginProcess

MB = 1 << 20
OBJECTS = 60
WORKERS = 3
CLIENTS = 8
EXCUSED_SECONDS = 5.0  # after a worker was killed
KINDS: tuple[dict[str, object], ...] = (
    {"etag": '"v1"', "cache_control": "max-age=3600"},
    {"etag": '"v1"', "cache_control": "max-age=3600", "chunked": True},
    {"etag": '"v1"', "cache_control": "no-cache"},
    {"cache_control": "max-age=1"},
    {"etag": '"v1"', "cache_control": "max-age=2, stale-while-revalidate=30"},
    {"etag": '"v1"', "cache_control": "max-age=3600", "headers": [("Vary", "Accept-Language")]},
    {"etag": 'W/"v1"', "cache_control": "no-store"},
)
SIZES = (0, 1, 900, 20_000, 65_536, 200_000, 1_000_000, 2_500_000)


class Soak:
    """The load and what came of it; `_counts` and `_wrong` are guarded by `_lock`."""

    def __init__(self, proxy: Proxy, origin: Origin, seed: int) -> None:
        self._proxy = proxy
        self._seed = seed
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._over = threading.Event()
        self._killed = float("-inf")
        self._bodies = [Generated(SIZES[n % len(SIZES)] + n, seed=n) for n in range(OBJECTS)]
        for number, body in enumerate(self._bodies):
            origin.put(f"/{number}", body, **KINDS[number % len(KINDS)])
        self._urls = [origin.url(f"/{number}") for number in range(OBJECTS)]

    def run(self, seconds: float) -> None:
        """Load for so long."""
        threads = [
            threading.Thread(target=self._client, args=(random.Random(self._seed + n),))
            for n in range(CLIENTS)
        ]
        threads.append(threading.Thread(target=self._operator, args=(random.Random(self._seed - 1),)))
        for thread in threads:
            thread.start()
        self._watch(seconds)
        self._over.set()
        for thread in threads:
            thread.join()

    # Clients.

    def _client(self, dice: random.Random) -> None:
        acts = [
            self._whole,
            self._part,
            self._abort,
            self._again,
        ]
        while not self._over.is_set():
            number = min(OBJECTS - 1, int(dice.paretovariate(0.7)) - 1)
            act = dice.choices(acts, [10, 4, 2, 3])[0]
            began = time.monotonic()
            try:
                act(dice, number)
            except (OSError, ValueError) as error:
                self._failed(act.__name__, number, began, f"{type(error).__name__}: {error}")

    def _download(self, number: int, *fields: tuple[str, str]) -> Download:
        return Download(
            self._proxy.address, self._urls[number], fields, expected=self._bodies[number], timeout=60.0
        )

    def _read(self, download: Download, what: str, statuses: tuple[int, ...]) -> None:
        with download:
            download.read_head()
            if download.status not in statuses:
                raise ValueError(f"status {download.status}")
            for _piece in download.pieces():
                if download.correct is False:
                    self._is_wrong(f"{what} {download.url}: wrong bytes before {download.received}")
                    return
        if download.correct is False:
            self._is_wrong(f"{what} {download.url}: {download.received} bytes, and said to be whole")
            return
        with self._lock:
            self._counts[what] += 1
            self._counts["bytes"] += download.received

    def _whole(self, dice: random.Random, number: int) -> None:
        language = ("Accept-Language", dice.choice(("de", "en", "fr")))
        self._read(self._download(number, language), "whole", (200,))

    def _part(self, dice: random.Random, number: int) -> None:
        size = self._bodies[number].size
        if size < 2:
            return
        start = dice.randrange(size - 1)
        end = min(size - 1, start + dice.choice((0, 1, 999, 100_000)))
        download = self._download(number, ("Range", f"bytes={start}-{end}"))
        self._read(download, "part", (200, 206))
        if download.status == 206 and download.received != end - start + 1:
            self._is_wrong(f"part {download.url}: {download.received} bytes of {start}-{end}")

    def _abort(self, dice: random.Random, number: int) -> None:
        with self._download(number) as download:
            download.read_head()
            download.take(dice.choice((1, 50_000, 700_000)))
            if download.correct is False:
                self._is_wrong(f"abort {download.url}: wrong bytes before {download.received}")
        with self._lock:
            self._counts["abort"] += 1

    def _again(self, dice: random.Random, number: int) -> None:
        field = dice.choice(
            (("If-None-Match", '"v1"'), ("Cache-Control", "no-cache"), ("Pragma", "no-cache"))
        )
        self._read(self._download(number, field), "again", (200, 304))

    def _is_wrong(self, what: str) -> None:
        with self._lock:
            self.wrong.append(what)
        print(f"WRONG {what}", flush=True)

    def _failed(self, act: str, number: int, began: float, error: str) -> None:
        if began - self._killed < EXCUSED_SECONDS or self._killed > began:
            with self._lock:
                self._counts["failed with a worker"] += 1
        else:
            self._is_wrong(f"{act.strip('_')} /{number}: {error}")

    # The operator.

    def _operator(self, dice: random.Random) -> None:
        oldest = 0  # the one that is never killed, so that its memory can be watched
        while not self._over.wait(2.0):
            pids = self._proxy.worker_pids()
            oldest = oldest if oldest in pids else min(pids, default=0)
            act = dice.choice(("purge", "prefix", "gc", "stats", "kill", "nothing"))
            if act == "purge":
                self._cli("purge", dice.choice(self._urls))
            elif act == "prefix":
                self._cli("purge", "--prefix", dice.choice(self._urls))
            elif act == "gc":
                self._cli("gc", "--max-size", "4M")
            elif act == "stats":
                self._cli("stats", "--json")
            elif act == "kill" and (others := [pid for pid in pids if pid != oldest]):
                self._killed = time.monotonic()
                self._proxy.kill_worker(dice.choice(others))
                self._killed = time.monotonic()
            with self._lock:
                self._counts[act] += 1

    def _cli(self, *arguments: str) -> None:
        done = cli(self._proxy, *arguments)
        if done.returncode:
            self._is_wrong(f"{' '.join(arguments)}: {done.stderr}")

    # What is told.

    def _watch(self, seconds: float) -> None:
        began, every = time.monotonic(), min(30.0, seconds / 10)
        print(f"{'minute':>7} {'worker':>8} {'RSS MB':>8} {'threads':>8} {'files':>6} {'requests':>9}")
        while (passed := time.monotonic() - began) < seconds:
            for pid in self._proxy.worker_pids():
                self._tell(passed, pid)
            self._over.wait(every)

    def _tell(self, passed: float, pid: int) -> None:
        try:
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
            rss = self._proxy.rss(pid) / MB
        except OSError:
            return  # killed in this moment
        with self._lock:
            requests = sum(self._counts[name] for name in ("whole", "part", "again", "abort"))
        row = f"{passed / 60:7.1f} {pid:8} {rss:8.1f} {threads:8} {files:6} {requests:9}"
        print(row, flush=True)

    def summary(self) -> str:
        """What was done, and how often."""
        return ", ".join(f"{name}: {count}" for name, count in sorted(self._counts.items()))


def cli(proxy: Proxy, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyproxycache", *arguments, "--cache-dir", str(proxy.cache_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", default="0", help="what each worker keeps in memory")
    options = parser.parse_args()
    config = {"memory": options.memory, "store": {"max_size": "16M", "reserve": 0}}
    with (
        tempfile.TemporaryDirectory() as folder,
        OriginProcess() as origin,
        Proxy(Path(folder), workers=WORKERS, threads=64, config=config) as proxy,
    ):
        soak = Soak(proxy, origin, options.seed)
        soak.run(options.minutes * 60)
        proxy.terminate()
        checked = cli(proxy, "fsck")
        errors = [line for line in proxy.log().splitlines() if "[ERROR]" in line or "Traceback" in line]
    print(soak.summary())
    print(f"fsck: {checked.stdout.strip()} {checked.stderr.strip()}")
    print(f"errors in the log: {len(errors)}", *errors[:10], sep="\n")
    print(f"wrong: {len(soak.wrong)}", *soak.wrong[:20], sep="\n")
    return 1 if soak.wrong or checked.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
