"""Builds what the operator sees of a worker: metrics, pages, and who may ask for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyproxycache import __version__
from pyproxycache.background import Count
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.secrets import resolved
from pyproxycache.configuration.shown import shown_config, shown_routes
from pyproxycache.errors import ConfigError, StoreError
from pyproxycache.front.admin.admin_access import AdminAccess
from pyproxycache.front.admin.admin_pages import AdminPage, AdminPages
from pyproxycache.front.admin.admin_reply import JSON, YAML, AdminReply
from pyproxycache.front.admin.admin_request import AdminRequest
from pyproxycache.front.admin.health import Readiness, live
from pyproxycache.front.admin.purge_page import METHODS, PurgePage
from pyproxycache.front.admin.shown_page import shown
from pyproxycache.front.admin.stacks import Stacks
from pyproxycache.front.processes.worker_parts import AdminParts, IsStopping
from pyproxycache.report.events.progress import unsent_bytes
from pyproxycache.report.figures import Figures
from pyproxycache.report.metrics.board import Board
from pyproxycache.report.metrics.event_metrics import WAITING, event_counts, events_waiting
from pyproxycache.report.metrics.family import Family, Kind
from pyproxycache.report.metrics.metrics import Metrics, single
from pyproxycache.report.metrics.named_counts import CountedAs, NamedCounts
from pyproxycache.report.metrics.refresh_metrics import REFRESH_COUNTS
from pyproxycache.report.metrics.request_metrics import RequestMetrics
from pyproxycache.report.metrics.store_metrics import StoreMetrics
from pyproxycache.wiring.admin.purging import Purging
from pyproxycache.wiring.events import events_folder, target_of

CONNECTIONS = Family("pyproxycache_connections", "Clients that are connected.", Kind.GAUGE)
BUILD = Family("pyproxycache_build_info", "The version that runs.", Kind.GAUGE, ("version",))

_TOKEN = "admin.token"
_GOOD = re.compile(r"[!-~]{16,}")
_SHEETS_OF_A_WORKER, _MORE_SHEETS = 4, 16


@dataclass(frozen=True, slots=True)
class OperatorSetup:
    """What is made before the fork: the memory of all figures, and the token as it is."""

    board: Board
    token: str | None


def prepare_operator(config: Config, before: Board | None) -> OperatorSetup | None:
    """Prepare what workers need for the operator; None if nobody listens for one. Raises ConfigError.

    The board is that from `before`, if there is one, so that a reload takes no count back.
    """
    if not config.admin.listen:
        return None
    token = None if config.admin.token is None else resolved(config.admin.token, _TOKEN)
    if token is not None and _GOOD.fullmatch(token) is None:
        raise ConfigError(
            f"{_TOKEN}: 16 letters, digits and signs of ASCII at least are accepted, and no blank"
        )
    return OperatorSetup(before or Board(_SHEETS_OF_A_WORKER * config.workers + _MORE_SHEETS), token)


class Operator:
    """What a worker counts and shows for the operator."""

    def __init__(self, config: Config, setup: OperatorSetup) -> None:
        self._config = config
        self._setup = setup
        self.metrics = Metrics(setup.board)
        self.metrics.declare(CONNECTIONS)
        self.metrics.tell(lambda: [single(BUILD, 1, __version__)])
        self.metrics.put(CONNECTIONS, 0)
        self.requests = RequestMetrics(self.metrics)
        self.store = StoreMetrics(self.metrics)
        self._named = NamedCounts(self.metrics, REFRESH_COUNTS | self._of_events())

    def counted(self, count: Count) -> Count:
        """What counts by `count`, and what of it is shown."""
        return self._named.beside(count)

    def _of_events(self) -> dict[str, CountedAs]:
        """The names by which events are counted, if there are any; what of them waits is told, too."""
        options = self._config.events
        if options is None:
            return {}
        target = target_of(options)
        waiting = partial(unsent_bytes, events_folder(self._config.store.path))
        self.metrics.declare(WAITING)
        self.metrics.tell(lambda: events_waiting(target, waiting))
        return event_counts(target)

    def parts(self, figures: Callable[[], Figures], purging: Purging | None) -> AdminParts:
        """What the worker does for the operator; without `purging` there is no store."""
        self.store.tell(figures)
        return AdminParts(
            addresses=self._config.admin.listen,
            pages=partial(self._pages, figures, purging),
            clients=partial(self.metrics.put, CONNECTIONS),
            server_stops=lambda: self._setup.board.stops,
            server_name=self._setup.board.name,
        )

    def _pages(
        self, figures: Callable[[], Figures], purging: Purging | None, is_stopping: IsStopping
    ) -> AdminPages:
        # Whoever has no admin listener need not load the library.
        from pyproxycache.report.metrics.exposition import CONTENT_TYPE, exposed

        board = self._setup.board
        purge = _no_store if purging is None else PurgePage(purging).answer
        pages = {
            "/health/live": AdminPage(live),
            "/health/ready": AdminPage(Readiness(lambda: is_stopping() or board.stops, figures).answer),
            "/metrics": shown(lambda: exposed(self.metrics.look()), CONTENT_TYPE),
            "/purge": AdminPage(purge, METHODS),
            "/config": shown(lambda: shown_config(self._config).encode(), YAML),
            "/routes": shown(lambda: shown_routes(self._config).encode(), JSON),
            "/debug/stacks": AdminPage(Stacks(board.name, board.workers).answer),
        }
        return AdminPages(AdminAccess(self._config.admin, self._setup.token), pages)


def _no_store(_request: AdminRequest) -> AdminReply:
    raise StoreError("there is no store, and nothing to purge")


def build_operator(config: Config, setup: OperatorSetup | None) -> Operator | None:
    """Build it in the worker; None if nobody listens for an operator."""
    return None if setup is None else Operator(config, setup)
