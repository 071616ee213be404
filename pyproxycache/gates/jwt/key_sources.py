"""Where an issuer's keys come from: a URL, or a file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pyproxycache import clock
from pyproxycache.errors import ConfigError, TokenCheckFailed
from pyproxycache.gates.introspection.bounded_asking import Send, answer_of, failed, json_object, object_in
from pyproxycache.gates.introspection.joint_questions import JointQuestions
from pyproxycache.gates.introspection.token_tally import NoteQuestion, unnoted
from pyproxycache.gates.jwt.public_keys import PublicKeys, public_keys
from pyproxycache.messages import Headers, Request
from pyproxycache.steps import Asks, Steps, at_once
from pyproxycache.url import Url

log = logging.getLogger("pyproxycache.introspection")

_LEAST_BETWEEN = 10.0
"""Seconds between two questions for keys, however many tokens name unknown ones."""
_LONGEST_WITHOUT = 86400.0
"""Seconds for which keys count whose URL cannot be asked."""


class KeySource(Protocol):
    """The protocol of what has an issuer's keys."""

    def keys(self, kid: str | None) -> Steps[PublicKeys]:
        """The keys, with the one that is meant by `kid` if the issuer has it; raises TokenCheckFailed."""

    def newer(self, than: PublicKeys) -> Steps[PublicKeys]:
        """Those that the issuer may have by now, where none of these has signed a token; else the same."""


class FetchedKeys:
    """Keys at a URL, fetched when they are needed first, after `refresh` seconds, and for an unknown key.

    `note` is told of each time. Safe to use from any number of threads. All fields are guarded by `_lock`.
    """

    def __init__(
        self,
        url: Url,
        send: Send,
        seconds: float,
        refresh: float,
        steady: Callable[[], float] = clock.steady,
        note: NoteQuestion = unnoted,
    ) -> None:
        self._request = Request(
            "GET", url, Headers([("Accept", "application/json"), ("Accept-Encoding", "identity")])
        )
        self._send, self._seconds = send, seconds
        self._refresh = refresh
        self._steady = steady
        self._joint = JointQuestions[PublicKeys](note)
        self._lock = threading.Lock()
        self._known: PublicKeys | None = None
        self._fetched = self._tried = float("-inf")
        self._is_asking = self._has_failed = False

    def keys(self, kid: str | None) -> Steps[PublicKeys]:
        """The keys, fetched again if need be; raises TokenCheckFailed if they are not there."""
        try:
            return (yield from self._got(lambda: self._at_hand(kid)))
        except TokenCheckFailed:
            with self._lock:
                if self._known is not None and self._known.fitting(kid) and not self._is_outdated():
                    return self._known
            raise

    def newer(self, than: PublicKeys) -> Steps[PublicKeys]:
        """The keys as they are now, fetched again unless that was just done; the same if that fails."""
        try:
            return (yield from self._got(lambda: self._newest(than)))
        except TokenCheckFailed:
            return than

    def _got(self, at_hand: Callable[[], PublicKeys | None]) -> Steps[PublicKeys]:
        """The keys at hand, else those that are fetched now; raises TokenCheckFailed."""
        authority, known = self._request.url.authority, at_hand()
        if known is None:
            # Before there is a question: who waits for that one is not to wait for another client's turn.
            yield Asks(authority)
            known = at_hand()
        if known is None:
            known = yield from self._joint.answered(b"", authority, self._fetch)
        return known

    def _newest(self, than: PublicKeys) -> PublicKeys | None:
        """The newest keys if they are not to be fetched now."""
        with self._lock:
            if self._known is not None and self._known is not than:
                return self._known
            is_recent = self._steady() - self._tried < _LEAST_BETWEEN
            return than if is_recent and not self._is_asking else None

    def _at_hand(self, kid: str | None) -> PublicKeys | None:
        """The keys if no others are to be fetched now; raises TokenCheckFailed."""
        with self._lock:
            known, now = self._known, self._steady()
            if known is None or self._is_outdated():
                return None
            is_recent = now - self._tried < _LEAST_BETWEEN
            if known.fitting(kid):
                return known if is_recent or now - self._fetched < self._refresh else None
            if self._is_asking or not is_recent:
                return None
            if self._has_failed:  # there may be such a key, and nobody can tell
                raise TokenCheckFailed(f"{self._request.url.origin} could not be asked for keys just now")
            return known

    def _is_outdated(self) -> bool:
        return self._steady() - self._fetched >= _LONGEST_WITHOUT + self._refresh

    def _fetch(self) -> PublicKeys:
        origin = self._request.url.origin
        with self._lock:
            self._tried, self._is_asking, self._has_failed = self._steady(), True, True
        try:
            status, content = answer_of(self._send, self._request, self._seconds)
            if status != 200:
                raise failed(origin, f"gives no keys: status {status}")
            try:
                keys = public_keys(object_in(content, origin))
            except ValueError as error:
                raise failed(origin, str(error)) from None
            with self._lock:
                self._known, self._fetched, self._has_failed = keys, self._steady(), False
            return keys
        finally:
            with self._lock:
                self._is_asking = False


class FileKeys:
    """Keys in a file, which is read again when it has changed; `key` is its place in the configuration.

    Raises ConfigError if the file cannot be used at the start; later the keys stay as they were.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._stamp = self._stamp_now()
            self._known = self._read()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{key}: {path}: {why}") from None

    def keys(self, _kid: str | None) -> Steps[PublicKeys]:
        """The keys that the file has now."""
        return at_once(self._now)

    def newer(self, than: PublicKeys) -> Steps[PublicKeys]:
        """The same: the file was looked at for the token."""
        return at_once(lambda: than)

    def _now(self) -> PublicKeys:
        with self._lock:
            try:
                stamp = self._stamp_now()
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._known = self._read()
            except (OSError, ValueError) as error:
                log.warning("%s: the keys stay as they were: %s", self._path, error)
            return self._known

    def _stamp_now(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> PublicKeys:
        return public_keys(json_object(self._path.read_bytes()) or {})
