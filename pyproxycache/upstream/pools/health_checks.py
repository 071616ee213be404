"""Asks members of pools again and again whether they are well."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyproxycache.background import Background, Count
from pyproxycache.errors import ProxyError
from pyproxycache.upstream.pools.member import Member
from pyproxycache.upstream.pools.pool import Pool
from pyproxycache.url import Url

log = logging.getLogger("pyproxycache.upstream")

Probe = Callable[[Url, float], int]
"""Asks for a URL; gives the status of an answer that begins within so many seconds, raises ProxyError."""


@dataclass(frozen=True, slots=True)
class HealthQuestion:
    """What a pool's members are asked for, how often, and which answers are good; times in seconds."""

    target: str
    every: float
    timeout: float
    statuses: frozenset[int]

    def is_well(self, member: Member, probe: Probe) -> bool:
        """Whether the member answers as it should."""
        url = Url(member.url.scheme, member.url.host, member.url.port, self.target)
        try:
            return probe(url, self.timeout) in self.statuses
        except ProxyError:
            return False


class HealthChecks:
    """Threads that ask, one for each member, so that one that hangs delays no other's check."""

    def __init__(
        self, questions: Sequence[tuple[Pool, HealthQuestion]], probe: Probe, count: Count
    ) -> None:
        self._questions = questions
        self._probe = probe
        self._count = count
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start asking, at once."""
        for pool, question in self._questions:
            for member in pool.members:
                threading.Thread(
                    target=self._run, args=(pool, member, question), name="health", daemon=True
                ).start()

    def close(self) -> None:
        """Ask no more; what is being asked ends by itself."""
        self._stopped.set()

    def _run(self, pool: Pool, member: Member, question: HealthQuestion) -> None:
        background = Background("health", log, self._count)

        def check() -> None:
            is_well = question.is_well(member, self._probe)
            if not self._stopped.is_set():
                pool.checked(member, is_well=is_well)

        while not self._stopped.is_set():
            background.attempt(check)
            self._stopped.wait(question.every)
