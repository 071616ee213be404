"""Tries what the split tests try for minutes, with other inputs each time, and says how many it tried."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from importlib import import_module
from itertools import cycle
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPLIT_TESTS = sorted(HERE.glob("**/test_split_*.py"))
HELPERS = (HERE, HERE / "front", HERE / "store", *(path.parent for path in SPLIT_TESTS))
sys.path[:0] = map(str, HELPERS)

_AT_A_TIME = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=5.0)
    minutes = parser.parse_args().minutes
    import splits

    parts = [import_module(path.stem) for path in SPLIT_TESTS]
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
