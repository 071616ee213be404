"""How long after a leader's word a follower in another process is awake: `make bench-wakeup`.

Both read the machine's monotonic clock: the leader before it publishes, the follower when it runs again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "store"))

from cachedir import URL
from storeprocess import StoreProcess


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--followers", type=int, default=3, help="processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        leader, *followers = (
            StoreProcess(Path(folder), lease=60.0, silence=60.0) for _ in range(options.followers + 1)
        )
        try:
            delays = measure(leader, followers, options.times)
        finally:
            for process in (leader, *followers):
                process.kill()
    print(f"published, then awake in another process, {options.times} x {options.followers}:")
    print(f"median  {statistics.median(delays) * 1000:8.3f} ms")
    print(f"99 %    {statistics.quantiles(delays, n=100)[98] * 1000:8.3f} ms")
    print(f"max     {max(delays) * 1000:8.3f} ms  (aim: under 20 ms)")


def measure(leader: StoreProcess, followers: list[StoreProcess], times: int) -> list[float]:
    """Seconds from the word to each follower's awakening."""
    leader.call("join", URL)
    leader.call("begin", None)
    for follower in followers:
        follower.call("join", URL)
        follower.call("head")
    delays = []
    for size in range(1, times + 1):
        for follower in followers:
            follower.send("wait_size", size)
        told = leader.call("write", "x")
        delays += [follower.answer() - told for follower in followers]
    return delays


if __name__ == "__main__":
    main()
