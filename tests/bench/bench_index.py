"""What the index costs at 10,000, 100,000 and 1,000,000 entries. Run as a script.

Each size is measured in a copy of one index that grows; no entry but those that are asked for over HTTP has
a body, so removing bodies from the disk is not in these figures. While `gc` and `purge` run, two other
processes look up and write every millisecond, and their longest wait is told; `busy` is what they wait
while something keeps a core busy and leaves the index alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from big_index import HOSTS, add_bodies, copy, entry, grow, key
from cachedir import CacheDir, asking
from harness import Proxy, clean_environment

from pyproxycache.messages import Entry
from pyproxycache.options import StoreOptions
from pyproxycache.store.files.footprint import LARGEST_LOG, room_beside_log
from pyproxycache.store.index.rows import insert_entry
from pyproxycache.wiring.stored import open_store

TIMES = 3000
HITS = 10_000
CLIENTS = 32
PROBE_PAUSE = 0.001
# Keeps a core busy and nothing else: what others wait for then, they wait for a core.
BUSY = [sys.executable, "-c", "import time; end = time.time() + 3\nwhile time.time() < end: pass"]
MS, US = 1e3, 1e6

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="numbers of entries")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one a size")
    parser.add_argument("--folder", help="where the indexes are built (1 GB a million entries, twice)")
    parser.add_argument("--probe", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        probe(options.probe[0], Path(options.probe[1]), int(options.probe[2]))
        return
    found = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        grown, built, smallest = CacheDir(Path(folder) / "grown"), 0, None
        for size in sorted(int(text) for text in options.sizes.split(",")):
            begin = time.perf_counter()
            grow(grown, range(built, size))
            figures: Figures = {"entries": size, "built_s": time.perf_counter() - begin}
            built = size
            smallest = smallest or (copy(grown, Path(folder) / "smallest"), size)
            figures |= compared((copy(grown, Path(folder) / f"{size}-compared"), size), smallest)
            measure(copy(grown, Path(folder) / str(size)), size, figures)
            found.append(figures)
            if not options.json:
                tell(figures)
        grown.close()
    if options.json:
        print(
            json.dumps([{name: round(value, 3) for name, value in one.items()} for one in found], indent=2)
        )


def tell(figures: Figures) -> None:
    for name, value in figures.items():
        print(f"{name:>28} {value:14,.2f}")
    print(flush=True)


def measure(cache: CacheDir, size: int, figures: Figures) -> None:
    """All of it, in the order from what changes nothing to what leaves nothing."""
    figures["index_bytes_an_entry"] = cache.database.path.stat().st_size / size
    figures["start_ms"] = MS * timed(lambda: start(cache.path))
    measure_reads(cache, size, figures)
    measure_server(cache, size, figures)
    measure_writes(cache, size, figures)
    figures["stats_ms"] = MS * timed(cache.index.usage)
    figures["ls_s"] = timed(lambda: run(on(cache, "ls", "*/libdev-gui*")))
    waits = disturbed(cache, size, BUSY)
    figures |= {f"busy_{what}": value for what, value in waits.items() if what != "s"}
    for name, arguments in {
        "gc": ("gc", "--max-size", str(full(cache))),
        "purge_prefix": ("purge", "--prefix", f"http://mirror{HOSTS - 1}.example/"),
        "purge_pattern": ("purge", "--pattern", f"*//mirror{HOSTS - 2}.*_amd64.deb"),
        "purge_all": ("purge", "--all"),
    }.items():
        before = cache.index.usage().entries
        waits = disturbed(cache, size, on(cache, *arguments))
        figures |= {f"{name}_{what}": value for what, value in waits.items()}
        figures[f"{name}_entries"] = before - cache.index.usage().entries
    cache.close()


def full(cache: CacheDir) -> int:
    """The `--max-size` that the cache has just reached, so that a tenth has to go."""
    taken = cache.removals.footprint().total
    sizes = (taken, taken * 32 // 31 + 1, taken + LARGEST_LOG)
    return min(size for size in sizes if room_beside_log(size) >= taken)


def compared(one: tuple[CacheDir, int], smallest: tuple[CacheDir, int]) -> Figures:
    """What look-ups and inserts take beside the smallest index, by turns: no machine is steady."""
    figures, chance = Figures(), random.Random(one[1])
    for name, work in {"lookup": looked_up, "insert": inserted}.items():
        turns = []
        for _turn in range(60):
            mine, theirs = (statistics.median(work(cache, chance, size)) for cache, size in (one, smallest))
            turns.append(mine / theirs)
        figures[f"{name}_to_smallest"] = statistics.median(turns)
    one[0].close()
    return figures


def looked_up(cache: CacheDir, chance: random.Random, size: int) -> list[float]:
    keys = [key(chance.randrange(size)) for _ in range(100)]
    return [timed(lambda name=name: cache.index.lookup(name, asking())) for name in keys]


def inserted(cache: CacheDir, chance: random.Random, size: int) -> list[float]:
    made = [entry(chance.randrange(size, 1 << 40), time.time()) for _ in range(50)]
    return [timed(lambda one=one: insert(cache, one)) for one in made]


def insert(cache: CacheDir, one: Entry) -> None:
    with cache.database.write() as db:
        insert_entry(db, one, one.response_time)


def start(path: Path) -> None:
    """What `serve` does with the store before it forks its workers."""
    store = open_store(StoreOptions(path=path))
    store.recovery.run()
    store.database.close()


def measure_reads(cache: CacheDir, size: int, figures: Figures) -> None:
    chance = random.Random(1)

    # The key is made outside of what is timed.
    keys = [key(chance.randrange(size)) for _ in range(4 * TIMES)]
    each(keys, lambda name: cache.index.lookup(name, asking()))
    figures["lookup_us"] = US * each(keys[:TIMES], lambda name: cache.index.lookup(name, asking()))
    figures["lookup_random_us"] = US * each(keys[TIMES:], lambda name: cache.index.lookup(name, asking()))
    missing = [f"{name}-" for name in keys[:TIMES]]
    figures["lookup_miss_us"] = US * each(missing, lambda name: cache.index.lookup(name, asking()))
    took = []
    for name in keys[:300]:
        cache.database.close_readers()
        cache.index.variants("", 1)
        took.append(timed(lambda name=name: cache.index.lookup(name, asking())))
    figures["lookup_new_connection_us"] = US * statistics.median(took)
    forget_pages(cache.database.path)
    figures["lookup_from_disk_us"] = US * each(keys[:300], lambda name: cache.index.lookup(name, asking()))
    run(["cat", str(cache.database.path)])


def forget_pages(path: Path) -> None:
    """Have the kernel keep none of the file's pages in memory."""
    # In a process of its own: to close the file here would drop SQLite's locks on it.
    subprocess.run(
        ["dd", f"of={path}", "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"],
        check=True,
    )


def measure_writes(cache: CacheDir, size: int, figures: Figures) -> None:
    chance, now = random.Random(2), time.time()

    some = chance.sample(range(size), TIMES)
    (stored,) = zip(*(cache.index.lookup(key(number), asking()) for number in some), strict=True)
    each(stored[:100], cache.index.freshen)
    figures["freshen_us"] = US * each(stored, cache.index.freshen)
    figures["touch_1000_ms"] = MS * statistics.median(
        timed(lambda part=part: cache.index.touch({one.id: (now, 1) for one in part}, {}))
        for part in (stored[:1000], stored[1000:2000], stored[2000:3000])
    )
    made = [entry(number, now) for number in range(size, size + TIMES)]
    begin = time.perf_counter()
    figures["insert_us"] = US * each(made, lambda one: insert(cache, one))
    figures["insert_mean_us"] = US * (time.perf_counter() - begin) / TIMES


def measure_server(cache: CacheDir, size: int, figures: Figures) -> None:
    """Until it answers; and what a worker has in memory after many hits all over the index."""
    numbers = random.Random(3).sample(range(size), min(HITS, size))
    add_bodies(cache, numbers)
    with tempfile.TemporaryDirectory() as folder:
        with Proxy(Path(folder) / "empty", threads=64) as empty:
            empty.terminate()
            figures["serve_empty_s"] = timed(lambda: empty.start().get(f"{empty.url}/"))
        with Proxy(Path(folder) / "full", threads=64, cache_dir=cache.path) as proxy:
            proxy.terminate()
            figures["serve_s"] = timed(lambda: proxy.start().get(key(numbers[0])))
            (worker,) = proxy.worker_pids()
            figures["worker_before_mb"] = resident(worker, "Rss")
            begin = time.perf_counter()
            with ThreadPoolExecutor(CLIENTS) as pool:
                hits = sum(
                    pool.map(lambda part: hit(proxy, part), [numbers[n::CLIENTS] for n in range(CLIENTS)])
                )
            figures["hits_s"] = hits / (time.perf_counter() - begin)
            assert hits == len(numbers), f"{hits} hits of {len(numbers)}"
            figures["worker_rss_mb"] = resident(worker, "Rss")
            figures["worker_pss_mb"] = resident(worker, "Pss")
            figures["worker_anon_mb"] = resident(worker, "Anonymous")


def hit(proxy: Proxy, numbers: list[int]) -> int:
    """Ask for them on one connection; how many were hits."""
    connection, hits = http.client.HTTPConnection(*proxy.address, timeout=10.0), 0
    for number in numbers:
        connection.request("GET", key(number))
        with connection.getresponse() as response:
            assert response.read() == key(number).encode()
            hits += "; hit" in response.headers["Cache-Status"]
    connection.close()
    return hits


def resident(pid: int, kind: str) -> float:
    """Megabytes of a process, out of the kernel's own sum over its mappings."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)) / 1024


def on(cache: CacheDir, name: str, *arguments: str) -> list[str]:
    """A command's line."""
    return [sys.executable, "-m", "pyproxycache", name, "--cache-dir", str(cache.path), *arguments]


def run(line: list[str]) -> None:
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=clean_environment())


def disturbed(cache: CacheDir, size: int, line: list[str]) -> Figures:
    """How long a command takes, and how long it makes others wait (milliseconds)."""
    probes = {kind: start_probe(kind, cache.path, size) for kind in ("lookup", "write")}
    begin = time.perf_counter()
    run(line)
    figures: Figures = {"s": time.perf_counter() - begin}
    for kind, process in probes.items():
        told = json.loads(process.communicate("end\n")[0])
        figures |= {f"{kind}_{what}_ms": value for what, value in told.items()}
    return figures


def start_probe(kind: str, path: Path, size: int) -> subprocess.Popen[str]:
    line = [sys.executable, __file__, "--probe", kind, str(path), str(size)]
    process = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    )
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    return process


def probe(kind: str, path: Path, size: int) -> None:
    """Look up or write again and again until told to end; tells the longest times."""
    import select

    cache, chance, took = CacheDir(path), random.Random(4), []
    work: Callable[[], object] = {
        "lookup": lambda: cache.index.lookup(key(chance.randrange(size)), asking()),
        "write": lambda: cache.index.touch({}, {"probe": 1}),
    }[kind]
    timed(work)
    print(flush=True)
    while not select.select([sys.stdin], [], [], PROBE_PAUSE)[0]:
        took.append(MS * timed(work))
    took.sort()
    print(json.dumps({"max": round(took[-1], 2), "p99": round(took[len(took) * 99 // 100], 2)}))


def each(items: Sequence[Any], work: Callable[[Any], object]) -> float:
    """What one takes (seconds): the median of the tenth that other work on the machine disturbed least."""
    took = [timed(lambda item=item: work(item)) for item in items]
    tenth = len(took) // 10
    return min(statistics.median(took[n : n + tenth]) for n in range(0, 10 * tenth, tenth))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
