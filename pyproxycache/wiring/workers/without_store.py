"""Builds a worker that has no store, and passes requests on."""

from __future__ import annotations

import logging
import secrets

from pyproxycache import clock
from pyproxycache.background import Background, Rounds
from pyproxycache.errors import StoreError
from pyproxycache.front.processes.heap import HeapTrim
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.report.figures import Figures
from pyproxycache.wiring.front import Below
from pyproxycache.wiring.workers.shared import Telling, WayOut, WorkerTerms

log = logging.getLogger("pyproxycache")


def build_without_store(terms: WorkerTerms, why: str) -> WorkerParts:
    """Build the parts of a worker that passes requests on; `why` there is no store is told to clients."""
    out = WayOut(terms, f"pyproxycache-{secrets.token_hex(4)}")
    count = terms.counted(_ignore)
    telling, health_checks = Telling(terms.config, count), out.health_checks(count)
    chores = (out.upstream.close_unwanted, HeapTrim().trim)
    rounds = Rounds(chores, Background("housekeeping", log, count))

    def figures() -> Figures:
        raise StoreError(why)

    def close(seconds: float) -> None:
        stop_at = clock.steady() + seconds
        health_checks.close()
        rounds.close()
        telling.close_events(stop_at)
        telling.finish()

    below = Below(
        name=out.name,
        engine=PassingEngine(out.upstream, why, "store-failed"),
        upstream=out.upstream,
        names=out.names,
        guard=out.guard,
        gates=terms.gates,
        reporter=terms.reporter(telling, _ignore, _ignore),
        versions=memoryview(bytearray(8)).cast("Q"),  # of no key: memory gives no answer
        figures=figures,
        metrics=terms.metrics,
    )
    parts = terms.parts(below, 0, telling, close, None)
    rounds.start()
    health_checks.start()
    return parts


def _ignore(*_what: object, **_more: object) -> None:
    """Take a call that has no effect here."""
