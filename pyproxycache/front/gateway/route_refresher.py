"""Refreshes what routes answer before it is stale, by requests that clients have made."""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.background import Count
from pyproxycache.cancellation import Cancellation
from pyproxycache.errors import ProxyError
from pyproxycache.fetching.refreshes.renewing import Renewable, Renewal, Renewer
from pyproxycache.front.gateway.kept_requests import KeptRequest, KeptRequests, RefreshRecord
from pyproxycache.front.gateway.refreshed_route import RefreshedRoute
from pyproxycache.front.requests.raw_request import RawRequest, Served
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Entry, Request
from pyproxycache.rules.refreshing import Demand, EndRefreshing, LookLater, RefreshNow, on_demand
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.refresh")

_THREADS = 4
_MOST_OF_UPSTREAM = 2
"""Refreshes of one upstream at a time, so that a slow one does not take all threads."""
_OTHERS_PATIENCE = 1.0
"""Seconds after which it is looked what became of a refresh that another thread or process does."""
_LONGEST_WAIT = 60.0
_FIRST_ERROR = 400


class RouteRefresher:
    """Repeats kept requests when they are due, on threads of its own, and counts them; made after fork.

    `_running` has what breaks off those that run, by the names of their records; `_of_upstream` counts them
    by authority, and `_waiting` are those whose upstream is asked often enough. All are guarded by `_lock`.
    """

    def __init__(self, kept: KeptRequests, renewer: Renewer, count: Count) -> None:
        self._kept = kept
        self._renewer = renewer
        self._count = count
        self._lock = threading.Lock()
        self._running: dict[int, Cancellation] = {}
        self._of_upstream: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[RefreshRecord]] = defaultdict(deque)
        self._is_stopping = False
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="route-refresh")
        self._clockwork = threading.Thread(target=self._watch, name="refresh-times", daemon=True)

    def start(self) -> None:
        """Begin to look what is due, on a thread of its own."""
        self._clockwork.start()

    def close(self) -> None:
        """Start nothing more, and break off what runs."""
        with self._lock:
            self._is_stopping = True
            running = list(self._running.values())
        with self._kept.changed:
            self._kept.changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for cancellation in running:
            cancellation.cancel()

    def watch(self, route: RefreshedRoute, received: RawRequest, wanted: Wanted) -> Served:
        """What is to be told of the entry that a request, which was let in, is answered with."""
        method = "GET" if received.method == "HEAD" else received.method  # whose answer is not stored
        plain = replace(
            received, method=method, body=_NOTHING, interim=None, cancellation=None, login=None, served=None
        )

        def served(request: Request, entry: Entry) -> None:
            if entry.part is None and entry.status < _FIRST_ERROR:
                content = b"".join(request.body) if request.content_key and request.body else b""
                gone = self._kept.keep(entry, KeptRequest(route, plain, wanted, request.url, content))
                if gone:
                    self._count({"refresh.crowded": gone})

        return served

    # When something is due.

    def _watch(self) -> None:
        while not self._is_stopping:
            with self._kept.changed:
                found = self._kept.take_due(clock.steady())
                if not isinstance(found, RefreshRecord):
                    wait = _LONGEST_WAIT if found is None else min(_LONGEST_WAIT, found - clock.steady())
                    if not self._is_stopping:
                        self._kept.changed.wait(max(0.0, wait))
                    continue
            self._begin(found)

    def _begin(self, record: RefreshRecord) -> None:
        authority = record.request.wanted.url.authority
        with self._lock:
            if self._is_stopping:
                return
            if self._of_upstream[authority] >= _MOST_OF_UPSTREAM:
                self._waiting[authority].append(record)
                return
            self._of_upstream[authority] += 1
        self._submit(record, authority)

    def _submit(self, record: RefreshRecord, authority: str) -> None:
        try:
            self._pool.submit(self._run, record, authority)
        except RuntimeError:  # shutting down, or no more threads
            self._kept.drop(record)
            self._ended(authority)

    def _run(self, record: RefreshRecord, authority: str) -> None:
        cancellation = Cancellation()
        with self._lock:
            self._running[id(record)] = cancellation
        try:
            self._look(record, cancellation)
        except Exception:
            log.exception("refreshing %s failed inside the cache", without_query(record.name[0]))
            self._count({"errors.refresh": 1})
            self._kept.drop(record)
        finally:
            with self._lock:
                self._running.pop(id(record), None)
            self._ended(authority)

    def _ended(self, authority: str) -> None:
        with self._lock:
            waiting = self._waiting.get(authority)
            record = waiting.popleft() if waiting and not self._is_stopping else None
            if record is None:
                self._of_upstream[authority] -= 1
                if not self._of_upstream[authority]:
                    del self._of_upstream[authority]
            if not waiting:
                self._waiting.pop(authority, None)
        if record is not None:
            self._submit(record, authority)

    # What is done then.

    def _look(self, record: RefreshRecord, cancellation: Cancellation) -> None:
        """Decide what is to be done for a record that is due, and do it."""
        request = record.request
        found = self._renewer.find(request.route.resource(request.url), record.name[1])
        if found is None:
            self._lose(record)
            return
        match self._decided(record, found):
            case RefreshNow():
                self._refresh(record, found, cancellation)
            case LookLater(at):
                self._kept.schedule(record, at)
            case EndRefreshing(reason):
                self._count({"refresh.unused": 1})
                self._end(record, reason)

    def _decided(self, record: RefreshRecord, found: Renewable) -> RefreshNow | LookLater | EndRefreshing:
        demand = Demand(record.used, self._kept.learn(record, found.entry))
        rule = record.request.route.rule
        return on_demand(rule, str(record.name), found.entry, found.left, demand, clock.wall())

    def _refresh(self, record: RefreshRecord, found: Renewable, cancellation: Cancellation) -> None:
        kept, rule = record.request, record.request.route.rule
        try:
            request = kept.route.repeated(kept.received, kept.wanted, kept.content, cancellation)
        except ProxyError:
            request = None
        if request is None or request.url != kept.url:
            self._count({"refresh.refused": 1})
            self._renewer.remove(found.entry)
            self._end(record, "its request is refused by now")
            return
        renewal = self._renewer.renew(found, request)
        self._count({f"refresh.{renewal.value}": 1})
        match renewal:
            case Renewal.LEFT:
                self._kept.schedule(record, clock.wall() + _OTHERS_PATIENCE)
            case Renewal.FAILED if kept.route.stands_in:
                self._kept.schedule(record, clock.wall() + rule.patience)
            case Renewal.FAILED:
                self._renewer.remove(found.entry)
                self._count({"refresh.removed": 1})
                self._end(record, "the upstream has no answer that may be stored")
            case Renewal.RENEWED:
                self._go_on(record, found)

    def _go_on(self, record: RefreshRecord, before: Renewable) -> None:
        """Have the record due again, for the new response if that is stored already."""
        found = self._renewer.find(before.resource, record.name[1])
        if found is None:
            self._lose(record)
            return
        at = clock.wall() + record.request.route.rule.patience
        if found.entry.response_time != before.entry.response_time:
            decided = self._decided(record, found)
            at = decided.at if isinstance(decided, LookLater) else clock.wall()
        self._kept.schedule(record, at)

    def _lose(self, record: RefreshRecord) -> None:
        """Forget a record whose response is not stored any more."""
        self._count({"refresh.lost": 1})
        self._kept.drop(record)

    def _end(self, record: RefreshRecord, reason: str) -> None:
        log.info("%s is not refreshed any more: %s", without_query(record.name[0]), reason)
        self._kept.drop(record)


class _Nothing:
    """The content of a request that has none, or whose content is kept elsewhere."""

    def read(self, size: int) -> bytes:  # noqa: ARG002
        return b""


_NOTHING = _Nothing()
