"""The gunicorn worker: sockets to WSGI, files to sockets, and an end that waits for downloads."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import struct
import threading
import time
from typing import Any

from gunicorn.http import errors as http_errors
from gunicorn.http import message
from gunicorn.util import http_date
from gunicorn.workers import gthread

from pyproxycache.errors import BadRequest, NotImplementedHere, ProxyError
from pyproxycache.front.interim import InterimHeads
from pyproxycache.front.request_body import RequestBody
from pyproxycache.front.response import Response
from pyproxycache.serving.status_fields import proxy_status

_FIRST_BYTE_SECONDS = 0.1
_SILENCE = struct.pack("ll", 60, 0)
_GRACE = 2.0
_WARM_THREADS = 32
_WARM_UP_SECONDS = 5.0
# It left, or neither sent nor took a byte for a minute.
_CLIENT_GONE = (ConnectionError, BlockingIOError, TimeoutError)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """Threads for requests; the main thread accepts, polls idle connections, and keeps time."""

    def init_process(self) -> None:
        self._drain = max(0.0, self.cfg.graceful_timeout - _GRACE)
        self._stop_at = float("inf")
        self._stopping, self._stop = os.pipe()
        # The configured limit would be cut down to this constant.
        message.MAX_REQUEST_LINE = max(message.MAX_REQUEST_LINE, self.cfg.limit_request_line)
        super().init_process()

    def handle_exit(self, sig: int, frame: object) -> None:
        if self.alive:
            self._stop_at = time.monotonic() + self._drain
            os.write(self._stop, b"!")  # which nobody reads: it is there for everyone who polls
            # The arbiter kills at graceful_timeout; this process wants to be done before that.
            self.cfg.set("graceful_timeout", int(self._drain))
        super().handle_exit(sig, frame)

    def handle_quit(self, _sig: int, _frame: object) -> None:
        # Threads may be anywhere, and every unfinished download is fit to be resumed: just go.
        if self.booted:
            self.wsgi.finish_logs()
        os._exit(0)

    def handle_usr1(self, sig: int, frame: object) -> None:
        """Log files were renamed."""
        super().handle_usr1(sig, frame)
        if self.booted:
            self.wsgi.reopen_logs()
        else:
            self.method_queue.defer(lambda: self.wsgi.reopen_logs())

    def run(self) -> None:
        self._warm_up()
        super().run()
        self.wsgi.close(max(0.0, self._stop_at - time.monotonic()))
        os._exit(0)

    def _warm_up(self) -> None:
        """Start threads before the first burst of requests has to: each has an index to open."""
        count = min(_WARM_THREADS, self.cfg.threads)
        all_started = threading.Barrier(count)

        def open_index() -> None:
            all_started.wait(_WARM_UP_SECONDS)
            self.wsgi.warm_up()

        for _ in range(count):
            self.tpool.submit(open_index)

    def is_parent_alive(self) -> bool:
        """Whether the master is there; without it this worker ends as after SIGTERM."""
        if super().is_parent_alive():
            return True
        self.handle_exit(signal.SIGTERM, None)
        return False

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            # Nobody shall queue for a worker that accepts no more, and a successor may need the port.
            for listener in self.sockets:
                listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """At a stop: connections that never asked for anything end with the idle ones."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def handle(self, conn: Any) -> object:
        """One request of a connection, in a pool thread; true to keep the connection."""
        request, keep = None, False
        try:
            if not conn.initialized and not _has_data(conn, _FIRST_BYTE_SECONDS):
                keep = gthread._DEFER
                return keep
            conn.sock.setblocking(True)
            if not conn.initialized:
                conn.init()
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _SILENCE)
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SILENCE)
            request = next(conn.parser)
            keep = self._keepalive_after(conn, self.handle_request(request, conn))
        except (http_errors.NoMoreData, StopIteration, ssl.SSLError, *_CLIENT_GONE) as gone:
            self.log.debug("Connection from %s ended: %s", conn.client, type(gone).__name__)
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
        finally:
            self._linger(conn, keep)
        return keep

    def _linger(self, conn: Any, keep: object) -> None:
        # Waiting for the client to have read everything belongs here, not on the polling thread.
        conn.closed = not keep
        if conn.closed:
            conn.close(graceful=conn.sock.fileno() >= 0)

    def finish_request(self, conn: Any, fs: Any) -> None:
        if getattr(conn, "closed", False):
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Run the application and send what it gives; true if the connection can go on."""
        interim = InterimHeads(conn.sock)
        request_body = RequestBody(req, interim)
        response = Response(req, conn.sock, self.cfg, interim)
        if not self.alive or _says_close(req) or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        try:
            body = self.wsgi(_environ(req, conn, request_body, interim), response.start_response)
            if request_body.bars_the_way:
                response.force_close()
            return self._send(response, body, conn)
        finally:
            interim.end()

    def _send(self, response: Response, body: Any, conn: Any) -> bool:
        try:
            response.send(body)
            if body.tunnel is not None:
                response.join(body.tunnel, conn.parser.unreader.take_buffered(), self._stopping)
        except _CLIENT_GONE:
            body.aborted()
            response.break_connection()
            return False
        except ProxyError as error:
            body.failed(error)
            response.break_connection()
            return False
        except BaseException:
            body.aborted()
            response.break_connection()
            raise
        finally:
            body.sent(response.head_bytes, response.sent)
            body.close()
        return body.tunnel is None and not response.should_close()

    def handle_error(self, _req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP, with the reason, and close."""
        if isinstance(exc, http_errors.ParseException):
            status, text = _refusal(exc), f"{type(exc).__name__}: {exc}"
            # Without the text: it quotes the request, which may hold secrets.
            peer = addr[0] if isinstance(addr, tuple) else "a Unix socket"
            self.log.info("Refused a request of %s: %s", peer, type(exc).__name__)
        else:
            status, text = "500 Internal Server Error", "the cache failed; its log says more"
            self.log.error("Error handling a request of %s", addr, exc_info=exc)
        body = text.encode("latin-1", "replace") + b"\n"
        name = self.wsgi.name
        head = (
            f"HTTP/1.1 {status}\r\nDate: {http_date()}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Via: 1.1 {name}\r\nProxy-Status: {proxy_status(_as_ours(exc), name)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode("latin-1") + body)
        except OSError as gone:
            self.log.debug("Could not send the refusal: %s", gone)
        if isinstance(exc, http_errors.ParseException):
            self.wsgi.refused(_client(addr), int(status[:3]), len(head), len(body))


def _has_data(conn: Any, seconds: float) -> bool:
    """Whether the client has sent something, or does so in this time."""
    if not conn.data_ready:
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        conn.data_ready = bool(poll.poll(seconds * 1000))
    return bool(conn.data_ready)


def _says_close(req: Any) -> bool:
    """Whether the client goes after this request: "close" anywhere in Connection (RFC 9112 section 9.6)."""
    options = [option for name, value in req.headers if name == "CONNECTION" for option in value.split(",")]
    return any(option.strip().lower() == "close" for option in options)


def _refusal(error: Exception) -> str:
    if isinstance(error, http_errors.UnsupportedTransferCoding):
        return "501 Not Implemented"
    if isinstance(error, http_errors.ExpectationFailed):
        return "417 Expectation Failed"
    return "400 Bad Request"


def _as_ours(error: BaseException) -> ProxyError:
    """The error as one of our own, for what is said of it."""
    if isinstance(error, http_errors.UnsupportedTransferCoding):
        return NotImplementedHere(type(error).__name__)
    if isinstance(error, http_errors.ParseException):
        return BadRequest(type(error).__name__)
    return ProxyError(type(error).__name__)


def _client(address: Any) -> str:
    # A peer on a Unix socket is on this machine.
    return str(address[0]) if isinstance(address, tuple) else "127.0.0.1"


def _environ(req: Any, conn: Any, body: RequestBody, interim: InterimHeads) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": req.method,
        "RAW_URI": req.uri,
        "SERVER_PROTOCOL": f"HTTP/{req.version[0]}.{req.version[1]}",
        "REMOTE_ADDR": _client(conn.client),
        "wsgi.input": body,
        "pyproxycache.headers": [(name.title(), value) for name, value in req.headers],
        "pyproxycache.interim": interim.forward if req.version >= (1, 1) else None,
    }
