"""A worker's front without a poller, whose threads work at once, and whose engine notes requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripted import upstream

from pyproxycache.configuration.config import Config
from pyproxycache.errors import ProxyError
from pyproxycache.facts import Facts
from pyproxycache.front.loop.adaptive_pool import AdaptivePool, Task
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.options import KissCacheOptions, StoreOptions
from pyproxycache.report.figures import Figures
from pyproxycache.report.reporter import Reporter
from pyproxycache.response import Response
from pyproxycache.routing.resource import Resource
from pyproxycache.serving import responses
from pyproxycache.steps import Steps
from pyproxycache.wiring.front import Below, build_parts
from pyproxycache.wiring.listening import build_guard

_CONFIG = Config(store=StoreOptions(path=Path("/nowhere")), kisscache=KissCacheOptions(enabled=False))
_UPSTREAM, _GUARD = upstream(), build_guard(_CONFIG)  # once: they read certificates and addresses


@dataclass(frozen=True)
class Asked:
    """A request that was read to its end."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes


class NotingEngine:
    """Answers with nothing; notes what it was asked, and reads content if it `reads`."""

    def __init__(self, *, reads: bool) -> None:
        self.asked: list[Asked] = []
        self.reads = reads

    def handle(self, _resource: Resource, request: Request, facts: Facts) -> Steps[Response]:
        yield from ()
        try:
            body = b"".join(request.body or ()) if self.reads else b""
        except ProxyError as error:
            return responses.from_error(error)
        fields = tuple((name.lower(), value) for name, value in request.headers)
        self.asked.append(Asked(request.method, str(request.url), fields, body))
        return Response(Head(200, "OK", Headers([("Content-Length", "0")])))


class InlineThreads(AdaptivePool):
    """Threads whose work is done at once."""

    def submit(self, task: Task) -> None:
        task.run()


def watch_nothing(*_values: object) -> None:
    """No connection is another's to wait for."""


def parts_with(engine: Any) -> WorkerParts:
    def nothing(*_values: object) -> None:
        pass

    below = Below(
        name="test",
        engine=engine,
        upstream=_UPSTREAM,
        guard=_GUARD,
        reporter=Reporter(nothing, nothing, None),
        versions=memoryview(bytearray(8)).cast("Q"),
        figures=lambda: Figures(0, None, 0, 0, {}),
    )
    return build_parts(_CONFIG, below, 0, WorkerHooks(lambda: None, lambda: None, nothing))
