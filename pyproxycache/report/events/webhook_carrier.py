"""Events to a URL by POST: JSON lines, which an answer of 2xx confirms."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from itertools import islice
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from pyproxycache.background import Count
from pyproxycache.report.events.carrier import IsOver, Undelivered
from pyproxycache.route_options.events import WebhookOptions

log = logging.getLogger("pyproxycache")

_STEP = 16 << 10
_READ = 64 << 10
"""Bytes of an answer's body that are read."""
_REFUSED = {400, 413, 422}
"""Answers that say that the content is at fault, so that sending it once more does not help."""


class WebhookCarrier:
    """Posts events, up to `batch` at once, one request after the other.

    What an answer says is at fault is sent one by one; a single event that is refused so is given up, or
    it would hold up all behind it.
    """

    def __init__(self, options: WebhookOptions, stopped: threading.Event, count: Count) -> None:
        self._options = options
        self._stopped = stopped
        self._count = count
        self._session: requests.Session | None = None
        self._wait = _AnswerTime()

    def deliver(self, events: Sequence[bytes], is_over: IsOver) -> None:
        done = 0
        while done < len(events):
            if is_over():
                raise Undelivered("there is no time left", done)
            batch = events[done : done + self._options.batch]
            status = self._post(batch, done)
            if status in _REFUSED:
                for event in batch:
                    if self._post((event,), done) in _REFUSED:
                        self._count({"events.refused": 1})
                        log.warning("the webhook refuses an event (status %d), which is given up", status)
                    done += 1
            else:
                done += len(batch)

    def rest(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _post(self, events: Sequence[bytes], done: int) -> int:
        """The status of the answer: 2xx, or one of those that refuse; raises Undelivered for others."""
        options = self._options
        try:
            session = self._session = self._session or self._opened()
            answer = session.post(
                options.url,
                data=b"".join(event + b"\n" for event in events),
                timeout=options.timeout,
                allow_redirects=False,
                stream=True,
            )
            self._read(answer)
        except OSError as error:
            self.close()
            raise Undelivered(f"the webhook cannot be reached: {_kind(error)}", done) from error
        finally:
            self._wait.end()
        if not (200 <= answer.status_code < 300 or answer.status_code in _REFUSED):
            raise Undelivered(f"the webhook answers {answer.status_code}", done)
        return answer.status_code

    def _read(self, answer: requests.Response) -> None:
        """Read the answer to its end, so that its connection is kept for the next request."""
        try:
            next(islice(answer.iter_content(_STEP), _READ // _STEP, None), b"")
            answer.close()
        except OSError:  # the status has said it all
            self.close()

    def _opened(self) -> requests.Session:
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _TimedAdapter(self._wait))
        session.trust_env = False  # no proxy of this process's surroundings
        session.headers["Content-Type"] = "application/x-ndjson"
        if self._options.token is not None:
            session.headers["Authorization"] = f"Bearer {self._options.token}"
        if self._options.ca_file is not None:
            session.verify = str(self._options.ca_file)
        return session


class _AnswerTime:
    """Breaks off a wait for an answer that takes too long, however little is missing at a time."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def begin(self, connection: HTTPConnection) -> None:
        """The request was sent; its answer has to be there within the connection's timeout."""
        sock, seconds = connection.sock, connection.timeout
        if sock is None or not isinstance(seconds, int | float):
            return
        # Not the method of TLS, which takes away what the other thread reads by.
        self._timer = threading.Timer(seconds, socket.socket.shutdown, (sock, socket.SHUT_RDWR))
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """The answer is there, or nobody waits for it any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _TimedAdapter(HTTPAdapter):
    """Has each answer end in time; requests bounds the pauses in it alone."""

    def __init__(self, wait: _AnswerTime) -> None:
        self._wait = wait
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        wait = self._wait

        class TimedConnection(HTTPConnection):
            def getresponse(self) -> HTTPResponse:  # type: ignore[override]
                wait.begin(self)
                return super().getresponse()

        class TimedTlsConnection(TimedConnection, HTTPSConnection):
            pass

        class TimedPool(HTTPConnectionPool):
            ConnectionCls = TimedConnection

        class TimedTlsPool(HTTPSConnectionPool):
            ConnectionCls = TimedTlsConnection

        self.poolmanager.pool_classes_by_scheme = {"http": TimedPool, "https": TimedTlsPool}


def _kind(error: OSError) -> str:
    """What went wrong, without the URL, which may carry secrets."""
    return type(error).__name__ if isinstance(error, requests.RequestException) else str(error)
