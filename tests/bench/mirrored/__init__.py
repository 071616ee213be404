"""Package mirrors beside their peers: `tests/bench/bench_mirrors.py`."""
