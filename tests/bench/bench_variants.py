"""What a look-up costs with 1, 1,000 and more variants of one URL. Run as a script.

Among 10,000 other entries, with heads of ten fields, in one thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "store"))

from cachedir import CacheDir, asking, entry

from pyproxycache.messages import Entry

HOST = "http://origin.example"
FIELDS = {f"X_Field_{number}": "a value of some length" for number in range(9)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--others", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = CacheDir(Path(folder))
        cache.insert(variant(f"other/{number}") for number in range(options.others))
        print("variants    median       99 %        max   (µs; aim: under 1000)")
        tell("no Vary", measure(cache, "other/7", "", options.times))
        for count in (0, 1, 10, 1000, 10_000):
            path = f"many-{count}"
            cache.insert(variant(path, str(number)) for number in range(count))
            tell(str(count), measure(cache, path, str(count // 2), options.times))
        cache.close()


def tell(name: str, figures: tuple[float, float, float]) -> None:
    print(f"{name:>8}{''.join(f'{1e6 * seconds:11.1f}' for seconds in figures)}")


def variant(path: str, accept: str = "") -> Entry:
    vary = (("accept", accept), ("accept-language", "de")) if accept else ()
    return replace(entry(f"{HOST}/{path}", **FIELDS), vary=vary)


def measure(cache: CacheDir, path: str, accept: str, times: int) -> tuple[float, float, float]:
    """Seconds: median, 99 %, maximum."""
    key, vary = f"{HOST}/{path}", asking(accept=accept, accept_language="de")
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        cache.index.lookup(key, vary)
        took.append(time.perf_counter() - begin)
    return statistics.median(took), statistics.quantiles(took, n=100)[98], max(took)


if __name__ == "__main__":
    main()
