# `make serve` and `make test` are all a fresh machine needs; the rest is for those who build.
VENV ?= .venv
PYTHON ?= python3
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
BIN := $(VENV)/bin
ARGS ?=

.PHONY: serve install test lint check conformance split-tests bench bench-stampede bench-wakeup bench-miss bench-segments bench-tunnel bench-variants bench-index bench-eviction soak clean

serve: install
	$(BIN)/pyproxycache serve $(ARGS)

install: $(VENV)/installed
test: $(VENV)/installed-test lint check

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(PIP) install --editable .
	touch $@

# Clients and tools that the tests use (command:package where the names differ), each only where it is
# missing; without root, tests for what is missing are skipped.
$(VENV)/installed-test: $(VENV)/bin/python setup.cfg pyproject.toml
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		missing=; for tool in curl wget ip:iproute2 openssl node:nodejs npm goaccess calamaris logrotate \
			aria2c:aria2 axel lftp; do \
			command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		if [ -n "$$missing" ]; then apt-get -qq update && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing; fi; fi
	$(PIP) install --editable '.[test]'
	touch $(VENV)/installed $@

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two files at a time: most tests wait for something, for most of their time.
check: $(VENV)/installed-test
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

conformance: $(VENV)/installed-test
	$(BIN)/python tests/conformance/run.py $(ARGS)

# For so many minutes (5), with other inputs each time: `make split-tests ARGS=60`.
split-tests: $(VENV)/installed-test
	$(BIN)/python tests/split_tests.py $(ARGS)

# The caches to compare with and wrk (command:package), each only where it is missing, and matplotlib.
$(VENV)/installed-bench: $(VENV)/bin/python setup.cfg pyproject.toml
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		missing=; for tool in nginx squid varnishd:varnish wrk taskset:util-linux; do \
			command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		if [ -n "$$missing" ]; then apt-get -qq update && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing; fi; fi
	$(PIP) install --editable '.[bench]'
	touch $(VENV)/installed $@

# Without ARGS, all of it, about 20 minutes, into the page.
bench: $(VENV)/installed-bench
	$(BIN)/python tests/bench/bench.py $(or $(ARGS),--write docs/benchmarks.md)

bench-stampede: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_stampede.py $(ARGS)

bench-wakeup: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_wakeup.py $(ARGS)

bench-miss: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_miss.py $(ARGS)

# Beside Squid where it is installed; 5,000 idle tunnels want 10,000 open files and some.
bench-tunnel: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_tunnel.py $(ARGS)

bench-segments: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_segments.py $(ARGS)

bench-variants: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_variants.py $(ARGS)

bench-index: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_index.py $(ARGS)

# The policies compared, about three minutes; without ARGS the plot is made anew.
bench-eviction: $(VENV)/installed-test
	$(PIP) install --editable '.[bench]'
	$(BIN)/python tests/bench/eviction.py $(or $(ARGS),--plot docs/images/eviction.png)

# Mixed load with every byte checked, one minute; for longer: ARGS="--minutes 30".
soak: $(VENV)/installed-test
	$(BIN)/python tests/stress/soak.py $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
