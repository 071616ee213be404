"""Threads that want one key all at once, so that its flights begin and end under one another's hands."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future

from cachedir import URL, CacheDir, download

from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports import JoinFlight, LeadFlight
from pyproxycache.store.values import End

ROUNDS = 150


class Crowd:
    """Threads that join and follow one key at random; whoever leads downloads it to the end."""

    def __init__(self, cache: CacheDir) -> None:
        self._flights = cache.flights
        self.led = 0
        self.followed = 0

    def run(self, threads: int) -> None:
        """Until each has asked so often; raises TimeoutError where one waits for nobody."""
        asking: list[Future[None]] = [Future() for _ in range(threads)]
        for seed, done in enumerate(asking):
            # A thread that hangs must not keep the test from failing.
            threading.Thread(target=self._run, args=(seed, done), daemon=True).start()
        for done in asking:
            done.result(30)

    def _run(self, seed: int, done: Future[None]) -> None:
        try:
            self._ask(seed)
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            ask = self._flights.join if chance.random() < 0.3 else self._flights.follow
            found = ask(FlightKey(URL))
            if isinstance(found, LeadFlight):
                found.writer.withheld = 0
                assert download(found.writer, b"body") is not None
                self.led += 1
            elif isinstance(found, JoinFlight):
                # A flight that nobody leads would never end.
                ended = found.flight.wait_head()
                while ended.end is None:
                    ended = found.flight.wait_change(ended)
                assert ended.end in (End.STORED, End.LOST), ended
                self.followed += 1
