"""docs/migration-kisscache.md by the real server: no option is missing, each row has its effect."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy, Reply
from migration.row_checks import Checks
from migration.told_tables import example, one_each, rows
from namespaces import HERE, elsewhere
from origin import Asked, Origin, Resource
from raw import Conversation, request
from waiting import until

PAGE = "migration-kisscache.md"
OPTIONS = one_each("""
    ALLOWED_NETWORKS DEFAULT_TTL RESOURCE_QUOTA RESOURCE_QUOTA_AUTO_CLEAN
    RESOURCE_QUOTA_AUTO_CLEAN_DELAY RESOURCE_PARTIAL_DOWLOAD_RETRIES DOWNLOAD_PATH DOWNLOAD_TIMEOUT
    DOWNLOAD_RETRY DOWNLOAD_BACKOFF_FACTOR DOWNLOAD_CHUNK_SIZE SHUTDOWN_PATH PASS_HEADERS
    USE_XSENDFILE XSENDFILE_BACKEND CELERY_TASK_ACKS_LATE CELERY_WORKER_PREFETCH_MULTIPLIER
    CELERY_WORKER_CONCURRENCY CELERY_WORKER_SEND_TASK_EVENTS CELERY_BEAT_SCHEDULE
    CELERY_BEAT_MAX_LOOP_INTERVAL CELERY_BROKER_URL DATABASES DEBUG ALLOWED_HOSTS STATIC_ROOT
    MIDDLEWARE WHITENOISE_KEEP_ONLY_HASHED_FILES STATICFILES_STORAGE STORAGES SENTRY_DSN
    GUNICORN_THREADS GUNICORN_WORKERS CELERY_CONCURRENCY SERVICE KC_IMAGE KC_POSTGRES_IMAGE
    KC_REDIS_IMAGE KC_FRONT_PORT KC_WEB_SCALE
""")
"""Those of its own settings, of what it sets of its frameworks, and of its containers."""
MIRRORS = "mirrors"
"""Rows of the table whose counterpart has tests of its own: tests/e2e/mirrors."""


def test_no_option_is_missing() -> None:
    told = [setting for row in rows(PAGE) for setting in row.settings]
    assert sorted(told) == sorted(OPTIONS)


class Lab:
    """Servers by the page's example, whose paths are in a folder of the test, and an origin for them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._number = stack, 0
        self.folder = folder
        self.origin = stack.enter_context(Origin())
        self.origin.put("/image", b"kernel")

    def start(self, host: str = "127.0.0.1", **changes: Any) -> Proxy:
        """A server by the example; `changes` are made in its sections."""
        self._number += 1
        config, folder = example(PAGE), self.folder / str(self._number)
        del config["listen"], config["workers"]  # the harness gives both, from the example's values
        workers = example(PAGE)["workers"]
        config["store"]["path"] = str(folder / "cache")
        config["kisscache"]["shutdown_file"] = str(folder / "shutdown")
        for section, values in changes.items():
            if isinstance(values, dict):
                config[section] = {**config.get(section, {}), **values}
            else:
                config[section] = values
        proxy = Proxy(folder, config=config, host=host, workers=workers)
        self._stack.callback(proxy.close)
        return proxy.start()

    def fetch(self, proxy: Proxy, path: str = "/image", more: str = "") -> Reply:
        return proxy.get(f"/api/v1/fetch/?url={self.origin.url(path)}{more}")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(stack, tmp_path)


CHECKS = Checks[Lab]()
shows = CHECKS.shows


@shows("ALLOWED_NETWORKS")
def _networks(lab: Lab) -> None:
    with elsewhere() as host, Origin(HERE) as outer:
        outer.put("/image", b"kernel")

        def asked(proxy: Proxy) -> int:
            with Conversation((HERE, proxy.address[1])) as client:
                target = f"GET /api/v1/fetch/?url={outer.url('/image')}"
                return client.send(request(target, f"Host: {HERE}")).reply().status

        assert host.call(asked, lab.start("0.0.0.0")) == 200
        assert host.call(asked, lab.start("0.0.0.0", allow=["127.0.0.0/8", "10.1.0.0/16"])) == 403


@shows("DEFAULT_TTL")
def _ttl(lab: Lab) -> None:
    proxy, day = lab.start(), 86_400
    for number, (more, days) in enumerate((("", 10), ("&ttl=2d", 2), ("&ttl=99d", 30))):
        lab.origin.put(f"/{number}", b"kernel")
        lab.fetch(proxy, f"/{number}", more)
        said = lab.fetch(proxy, f"/{number}", more).get("Cache-Status") or ""
        assert days * day - 60 <= int(said.partition("ttl=")[2].partition(";")[0]) <= days * day
    assert len(lab.origin.requests) == 3


@shows("RESOURCE_QUOTA")
def _quota(lab: Lab) -> None:
    assert json.loads(lab.start().get("/api/v1/status/").body)["disk_quota"] == 5 << 30
    proxy = lab.start(store={"max_size": "20M"})
    for number in range(40):
        lab.origin.put(f"/{number}", os.urandom(1 << 20))
        assert lab.fetch(proxy, f"/{number}").status == 200
    until(lambda: json.loads(proxy.get("/api/v1/status/").body)["disk_usage"] <= 20 << 20)
    assert lab.fetch(proxy, "/39").status == 200
    assert lab.origin.count("/39") == 1


@shows("DOWNLOAD_PATH")
def _path(lab: Lab) -> None:
    proxy = lab.start()
    lab.origin.put("/large", os.urandom(1 << 20))
    assert lab.fetch(proxy, "/large").status == 200
    assert sum(file.stat().st_size for file in proxy.cache_dir.rglob("*") if file.is_file()) > 1 << 20


@shows("DOWNLOAD_TIMEOUT")
def _silence(lab: Lab) -> None:
    proxy = lab.start(fetch={"silence": "1s", "tries": 1})
    lab.origin.gate("/image")
    assert lab.fetch(proxy).status == 504
    # A body that comes slowly, but comes, may take longer than that.
    lab.origin.put("/slow", b"x" * 3000, rate=1000.0)
    assert lab.fetch(proxy, "/slow").body == b"x" * 3000


@shows("DOWNLOAD_RETRY")
@shows("DOWNLOAD_BACKOFF_FACTOR")
def _retries(lab: Lab) -> None:
    proxy = lab.start(fetch={"tries": 4, "pause": 0.2, "max_pause": 0.3})
    lab.origin.put("/broken", b"x" * 9000, etag='"1"', break_at=[0, 0, 0, 0])
    begun = time.monotonic()
    reply = lab.fetch(proxy, "/broken")
    assert time.monotonic() - begun >= 0.2 + 0.3
    assert not (reply.status == 200 and reply.complete)
    assert 2 < lab.origin.count("/broken") <= 4
    lab.origin.put("/mended", b"y" * 9000, etag='"1"', break_at=[3000, 6000])
    assert lab.fetch(proxy, "/mended").body == b"y" * 9000
    assert lab.origin.count("/mended") == 3


@shows("SHUTDOWN_PATH")
def _shutdown(lab: Lab) -> None:
    proxy = lab.start()
    assert proxy.get("/api/v1/health/").status == 200
    (proxy.cache_dir.parent / "shutdown").touch()
    assert proxy.get("/api/v1/health/").status == 503
    assert json.loads(proxy.get("/api/v1/status/").body)["instance"] == "lab-1"


@shows("PASS_HEADERS")
def _fields(lab: Lab) -> None:
    proxy = lab.start()
    lab.origin.put("/secret", handler=_whose)
    for user in ("ann", "bob", "ann"):
        sent = [("Authorization", user), ("X-Kind", user)]
        assert proxy.get(f"/api/v1/fetch/?url={lab.origin.url('/secret')}", sent).body == user.encode()


def _whose(asked: Asked) -> Resource:
    assert asked.get("X-Kind") == asked.get("Authorization")
    return Resource((asked.get("Authorization") or "").encode())


@shows("CELERY_WORKER_CONCURRENCY")
def _at_once(lab: Lab) -> None:
    proxy = lab.start(limits={"origin_requests": 1}, threads=8)
    gate = lab.origin.gate("/image")
    with ExitStack() as stack:
        clients = [stack.enter_context(Conversation(proxy.address)) for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(request(f"GET /api/v1/fetch/?url={lab.origin.url('/image')}%3F{number}", "Host: h"))
        gate.wait_reached()
        gate.open()
        assert [client.reply().status for client in clients] == [200] * 3


@shows("DEBUG")
def _debug(lab: Lab) -> None:
    proxy = lab.start(log={"level": "debug"})
    lab.fetch(proxy)
    until(lambda: "[DEBUG]" in proxy.log())


@shows("KC_FRONT_PORT")
@shows("KC_WEB_SCALE")
def _workers(lab: Lab) -> None:
    proxy = lab.start()
    assert example(PAGE)["listen"] == "0.0.0.0:8001"
    assert lab.fetch(proxy).body == b"kernel"
    assert len(proxy.worker_pids()) == 4


@shows("GUNICORN_THREADS")
def _threads(lab: Lab) -> None:
    """With more threads than are held by one silent origin, others are answered."""
    proxy = lab.start(threads=4)
    gate = lab.origin.gate("/image")
    with Conversation(proxy.address) as client:
        client.send(request(f"GET /api/v1/fetch/?url={lab.origin.url('/image')}", "Host: h"))
        gate.wait_reached()
        assert proxy.get("/api/v1/status/").status == 200
        gate.open()
        assert client.reply().body == b"kernel"


@pytest.mark.parametrize("check", CHECKS.different(), ids=lambda check: check.__name__)
def test_rows_have_the_effects_that_they_claim(check: Callable[[Lab], None], lab: Lab) -> None:
    check(lab)


def test_each_row_with_a_counterpart_is_tried() -> None:
    told = {row.name: row.has_counterpart for row in rows(PAGE)}
    with_one = {name for name, has_one in told.items() if has_one and MIRRORS not in name}
    assert with_one <= {*CHECKS.by_setting} <= {*told}
