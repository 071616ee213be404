"""The comparison with other caches: `tests/bench/bench.py`."""
