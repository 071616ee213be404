"""Tries what the split tests try for minutes, with other inputs each time, and says how many it tried."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from itertools import cycle
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / name) for name in (".", "upstream", "front", "store")]

_AT_A_TIME = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=5.0)
    minutes = parser.parse_args().minutes
    import splits
    import test_split_answers
    import test_split_feeds
    import test_split_requests
    import test_split_writes
    import test_splits

    parts = (test_splits, test_split_requests, test_split_answers, test_split_writes, test_split_feeds)
    end, failures = time.monotonic() + 60 * minutes, 0
    for held in cycle([held for part in parts for held in part.PROPERTIES]):
        if time.monotonic() > end:
            break
        try:
            held.hold(_AT_A_TIME)
        except AssertionError:
            failures += 1
            traceback.print_exc()
    print(f"{splits.Tried.count} inputs in {minutes:g} minutes, {failures} properties failed")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
