"""The upstream of all of them: a process that answers out of its memory, and counts what it is asked."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mirrored.packages import Paths

LAST_MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"


class Upstream:
    """Bound at once, so that documents can name `url`; `serving` answers with what a tree has."""

    def __init__(self, delay: float) -> None:
        self._server = _Server(("127.0.0.1", port_of_four_digits()), _Handler)
        self._server.delay = delay
        self._count = self._server.count = multiprocessing.get_context("fork").Value("Q")
        self.netloc = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.netloc}"

    @property
    def asked(self) -> int:
        """How many requests it got so far."""
        return int(self._count.value)

    @contextlib.contextmanager
    def serving(self, tree: Paths) -> Iterator[None]:
        """Answers in a process of its own until the block ends."""
        self._server.tree = tree
        for served in tree.values():  # so that the first who asks does not wait for it
            assert all(one.etag for one in (served, *served.forms.values()))
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                self._server.serve_forever()
            finally:
                os._exit(1)
        self._server.socket.close()
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


class _Server(ThreadingHTTPServer):
    request_queue_size = 1000
    tree: Paths
    delay: float
    count: multiprocessing.sharedctypes.Synchronized[int]

    def handle_error(self, *_arguments: object) -> None:
        """Says nothing of clients that left: what has not come, the client that waits for it tells."""


class _Handler(BaseHTTPRequestHandler):
    """Kept connections, validators, and no ranges."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def do_GET(self) -> None:
        with self.server.count.get_lock():
            self.server.count.value += 1
        time.sleep(self.server.delay)
        served = self.server.tree.get(self.path.partition("?")[0])
        if served is None:
            self._answer(404, [("Content-Length", "0")])
            return
        varies = bool(served.forms)
        accept = self.headers.get("Accept", "")
        served = next((form for name, form in served.forms.items() if name in accept), served)
        fields = [("ETag", served.etag), ("Last-Modified", LAST_MODIFIED)]
        if varies:
            fields.append(("Vary", "Accept"))
        tags = self.headers.get("If-None-Match")
        old = served.etag in tags if tags else self.headers.get("If-Modified-Since") == LAST_MODIFIED
        if old:
            self._answer(304, fields)
            return
        fields += [("Content-Type", served.media_type), ("Content-Length", str(len(served.content)))]
        self._answer(200, fields, served.content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, fields: list[tuple[str, str]], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


def port_of_four_digits() -> int:
    """One that nobody has just now, for apt-cacher-ng knows no others; OSError where there is none."""
    for number in random.sample(range(2000, 10000), 1000):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", number))
            return number
    raise OSError("no port from 2000 to 9999 is free")
