# `make serve` and `make test` are all a fresh machine needs; the rest is for those who build.
VENV ?= .venv
PYTHON ?= python3
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
BIN := $(VENV)/bin
ARGS ?=
PEERS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pyproxycache-bench
MITMPROXY ?= $(PEERS)/mitmproxy
PROXPI ?= $(PEERS)/proxpi
VERDACCIO ?= $(PEERS)/verdaccio

.PHONY: serve install test lint check test-rabbitmq demo-gateway conformance split-tests explore fuzz-tls bench bench-stampede bench-wakeup bench-miss bench-segments bench-tunnel bench-tls bench-mints bench-limits bench-variants bench-mirrors bench-index bench-eviction limit-rounds soak clients clean

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
		missing=; for tool in curl wget ip:iproute2 nft:nftables iptables shellcheck openssl node:nodejs npm goaccess calamaris logrotate \
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

# Four files at a time: most tests wait for something, for most of their time.
check: $(VENV)/installed-test
	$(BIN)/pytest --numprocesses 4 --dist loadfile $(ARGS)

# Debian's RabbitMQ, which the tests run on ports and in a folder of their own; its service would start, too.
$(VENV)/installed-rabbitmq: $(VENV)/installed-test
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ ! -e /usr/lib/rabbitmq/bin/rabbitmq-server ]; then \
		apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends rabbitmq-server; fi
	touch $@

# A gateway with all that is around it, step by step.
demo-gateway: $(VENV)/installed-rabbitmq
	$(BIN)/python tests/demo/gateway_demo.py $(ARGS)

# Events at a real broker; `make check` has these tests, too, where it is installed.
test-rabbitmq: $(VENV)/installed-rabbitmq
	$(BIN)/pytest tests/report/events/test_rabbitmq_carrier.py tests/e2e/gateway/test_rabbitmq_events.py $(ARGS)

# The clients of docs/clients.md and docs/ecosystems.md, by apt where there is root (command:package), and in a folder of their own.
$(VENV)/clients/installed: $(VENV)/installed-test
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		missing=; for tool in git java:default-jdk-headless cargo go:golang-go mvn:maven gem:ruby bundle:bundler \
			skopeo docker-registry dnf rpmbuild:rpm createrepo_c:createrepo-c chromium certutil:libnss3-tools; do \
			command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		if [ -n "$$missing" ]; then apt-get -qq update && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing; fi; fi
	$(PYTHON) -m venv $(VENV)/clients/python
	$(VENV)/clients/python/bin/python -m pip --disable-pip-version-check --quiet install \
		uv requests httpx aiohttp 'websockets >= 15' huggingface_hub py-rattler
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV)/clients \
		pnpm@10 yarn@1 undici@7 node-linux-$$(node -p process.arch)@24; fi
	touch $@

# All of them by all ways, into the table of the page; a missing one leaves its row out.
clients: $(VENV)/clients/installed
	$(BIN)/pytest tests/e2e/clients tests/e2e/mirrors/test_own_archives.py --every-client $(or $(ARGS),--table docs/clients.md)

conformance: $(VENV)/installed-test
	$(BIN)/python tests/conformance/run.py $(ARGS)

# For so many minutes (5), with other inputs each time: `make split-tests ARGS=60`.
split-tests: $(VENV)/installed-test
	$(BIN)/python tests/split_tests.py $(ARGS)

# The tests that draw their inputs, with others each time, and more of them; `make check` has the same each time.
explore: $(VENV)/installed-test
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m hypothesis --hypothesis-profile explore --timeout 900 $(ARGS)

# So many mutated ClientHellos to a server (100000), others each time: `make fuzz-tls ARGS=1000`.
fuzz-tls: $(VENV)/installed-test
	PYTHONPATH=.:tests $(BIN)/python tests/hello_fuzz.py $(ARGS)

# The caches to compare with and wrk (command:package), each only where it is missing, and matplotlib. Of Debian's
# Squids only the one with OpenSSL can intercept; it takes the other's place.
$(VENV)/installed-bench: $(VENV)/bin/python setup.cfg pyproject.toml
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		missing=; for tool in nginx /usr/lib/squid/security_file_certgen:squid-openssl varnishd:varnish wrk \
			taskset:util-linux; do \
			command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		if [ -n "$$missing" ]; then apt-get -qq update && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing; fi; fi
	$(PIP) install --editable '.[bench]'
	touch $(VENV)/installed $@

# In an environment of its own, whose packages are none of ours.
$(MITMPROXY)/bin/mitmdump:
	$(PYTHON) -m venv $(MITMPROXY)
	$(MITMPROXY)/bin/python -m pip --disable-pip-version-check --quiet install mitmproxy

# Without ARGS, all of it, about 25 minutes, into the page.
bench: $(VENV)/installed-bench $(MITMPROXY)/bin/mitmdump
	MITMDUMP=$(MITMPROXY)/bin/mitmdump $(BIN)/python tests/bench/bench.py $(or $(ARGS),--write docs/benchmarks.md)

# The parts in TLS alone, about two minutes a round.
bench-tls: $(VENV)/installed-bench $(MITMPROXY)/bin/mitmdump
	MITMDUMP=$(MITMPROXY)/bin/mitmdump $(BIN)/python tests/bench/bench.py --parts 9,10 --logs off $(ARGS)

# apt-cacher-ng and apt-ftparchive (command:package) are Debian's; proxpi and Verdaccio have places of their own.
$(VENV)/installed-bench-mirrors: $(VENV)/installed-test
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		missing=; for tool in apt-cacher-ng apt-ftparchive:apt-utils gpg gpgv npm taskset:util-linux; do \
			command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		if [ -n "$$missing" ]; then apt-get -qq update && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing; fi; fi
	touch $@

$(PROXPI)/bin/gunicorn:
	$(PYTHON) -m venv $(PROXPI)
	$(PROXPI)/bin/python -m pip --disable-pip-version-check --quiet install proxpi gunicorn

# It asks for node-fetch by a tag that some registries do not have; without npm it is left out.
$(VERDACCIO)/node_modules/.bin/verdaccio:
	mkdir -p $(VERDACCIO)
	echo '{"overrides": {"node-fetch": "2.7.0"}}' > $(VERDACCIO)/package.json
	if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --prefix $(VERDACCIO) verdaccio@6; fi

# Mirrors beside apt-cacher-ng, proxpi and Verdaccio, two to four minutes a round.
bench-mirrors: $(VENV)/installed-bench-mirrors $(PROXPI)/bin/gunicorn $(VERDACCIO)/node_modules/.bin/verdaccio
	PROXPI=$(PROXPI)/bin/gunicorn VERDACCIO=$(VERDACCIO)/node_modules/.bin/verdaccio \
		$(BIN)/python tests/bench/bench_mirrors.py $(ARGS)

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

bench-limits: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_limits.py $(ARGS)

bench-mints: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_mints.py $(ARGS)

bench-variants: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_variants.py $(ARGS)

bench-index: $(VENV)/installed-test
	$(BIN)/python tests/bench/bench_index.py $(ARGS)

# The policies compared, about three minutes; without ARGS the plot is made anew.
bench-eviction: $(VENV)/installed-test
	$(PIP) install --editable '.[bench]'
	$(BIN)/python tests/bench/eviction.py $(or $(ARGS),--plot docs/images/eviction.png)

# Rate limits under many processes, some of them killed, in a thousand rounds: ARGS="--rounds 10000" for more.
limit-rounds: $(VENV)/installed-test
	$(BIN)/python tests/stress/test_limits.py $(ARGS)
	$(BIN)/python tests/e2e/gateway/test_rate_limits.py

# Mixed load with every byte checked, one minute; for longer: ARGS="--minutes 30".
soak: $(VENV)/installed-test
	$(BIN)/python tests/stress/soak.py $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
