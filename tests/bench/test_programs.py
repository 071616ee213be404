"""The benchmark programs still fit the code that they measure: each runs, as small as it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SMALL = {
    "bench_limits.py": "--times 20 --seconds 0.01",
    "bench_mints.py": "--count 20",
    "bench_mirrors.py": "--parts pip --rounds 1 --warm 1 --packages 1 --settle 0",
    "bench_miss.py": "--count 20 --rounds 1 --threads 1",
    "bench_tunnel.py": "--megabytes 1 --rounds 1 --idle 3 --settle 0",
    "bench_wakeup.py": "--times 5 --followers 1",
    "bench_variants.py": "--times 5 --others 100",
    "bench_stampede.py": "--clients 3 --size 100000 --rate 10000000",
    # The first takes long, and the other's clients are there where the benchmarks were installed.
    "bench_index.py": "--help",
    "bench_segments.py": "--help",
}


def test_each_program_has_a_row() -> None:
    assert {path.name for path in Path(__file__).parent.glob("bench_*.py")} == SMALL.keys()


@pytest.mark.parametrize("name", SMALL)
def test_it_runs(name: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name(name)), *SMALL[name].split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout
