"""The gunicorn worker: sockets to WSGI, files to sockets, and an end that waits for downloads."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from typing import Any

from gunicorn.http import errors as http_errors
from gunicorn.http.wsgi import Response as GunicornResponse
from gunicorn.util import http_date
from gunicorn.workers import gthread

from pyproxycache.errors import BrokenOff, ProxyError
from pyproxycache.messages import FileSlice, Piece

_FIRST_BYTE_SECONDS = 5.0
_SILENCE = struct.pack("ll", 60, 0)
_BREAK = struct.pack("ii", 1, 0)
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_GRACE = 2.0
# It left, or neither sent nor took a byte for a minute.
_CLIENT_GONE = (ConnectionError, BlockingIOError, TimeoutError)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """Threads for requests; the main thread accepts, polls idle connections, and keeps time."""

    def init_process(self) -> None:
        self._drain = max(0.0, self.cfg.graceful_timeout - _GRACE)
        self._stop_at = float("inf")
        super().init_process()

    def handle_exit(self, sig: int, frame: object) -> None:
        if self.alive:
            self._stop_at = time.monotonic() + self._drain
            # The arbiter kills at graceful_timeout; this process wants to be done before that.
            self.cfg.set("graceful_timeout", int(self._drain))
        super().handle_exit(sig, frame)

    def handle_quit(self, _sig: int, _frame: object) -> None:
        # Threads may be anywhere, and every unfinished download is fit to be resumed: just go.
        os._exit(0)

    def run(self) -> None:
        super().run()
        self.wsgi.close(max(0.0, self._stop_at - time.monotonic()))
        os._exit(0)

    def handle(self, conn: Any) -> object:
        """One request of a connection, in a pool thread; true to keep the connection."""
        request, keep = None, False
        try:
            if not conn.initialized and not conn.wait_for_data(_FIRST_BYTE_SECONDS):
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
            self.log.debug("Connection from %s ended: %s", conn.client, gone)
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
        response = Response(req, conn.sock, self.cfg)
        if not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        if req._expected_100_continue:
            conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.wsgi(_environ(req, conn), response.start_response)
        try:
            response.send(body)
        except _CLIENT_GONE:
            response.break_connection()
            return False
        except Exception as error:
            # The head is out: the client has to see the connection break, never a clean end.
            response.break_connection()
            if not isinstance(error, ProxyError):
                raise
            self.log.info("Broke off %s: %s", req.uri.partition("?")[0], error)
            return False
        finally:
            body.close()
        return not response.should_close()

    def handle_error(self, _req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP: 400, or the parser's own word for it, with the reason, and close."""
        if not isinstance(exc, http_errors.ParseException):
            self.log.exception("Error handling a request of %s", addr)
            status, text = (
                "500 Internal Server Error",
                "the cache failed; its log says more",
            )
        elif isinstance(exc, http_errors.UnsupportedTransferCoding):
            status, text = "501 Not Implemented", str(exc)
        else:
            status, text = "400 Bad Request", f"{type(exc).__name__}: {exc}"
            self.log.info("Refused a request of %s: %s", addr[0] if addr else "a socket", text)
        body = text.encode("latin-1", "replace") + b"\n"
        head = (
            f"HTTP/1.1 {status}\r\nDate: {http_date()}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode("latin-1") + body)
        except OSError as gone:
            self.log.debug("Could not send the refusal: %s", gone)


class Response(GunicornResponse):  # type: ignore[misc]
    """A response whose fields are the application's alone, and whose body may lie in files."""

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        for name, value in headers:
            lowered = name.lower()
            if lowered == "content-length":
                self.response_length = int(value)
            if lowered not in _HOP_BY_HOP:
                self.headers.append((name, value))

    def default_headers(self) -> list[str]:
        lines = [f"HTTP/1.1 {self.status}\r\n"]
        lines.append("Connection: close\r\n" if self.should_close() else "Connection: keep-alive\r\n")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def send(self, body: Iterable[Piece]) -> None:
        """Head and body; raises BrokenOff if there is less of it than the head said."""
        self.send_headers()
        for piece in body:
            if isinstance(piece, FileSlice):
                self._send_slice(piece)
            else:
                self.write(piece)
        if self.response_length is not None and not self._omits_body and self.sent < self.response_length:
            raise BrokenOff(f"the body ended after {self.sent} of {self.response_length} bytes")
        self.close()

    def _send_slice(self, piece: FileSlice) -> None:
        if self._omits_body:
            return
        if self.chunked:
            self.sock.sendall(b"%x\r\n" % piece.count)
        offset, stop = piece.offset, piece.offset + piece.count
        while offset < stop:
            sent = os.sendfile(self.sock.fileno(), piece.fd, offset, stop - offset)
            if sent == 0:
                raise BrokenOff(f"the stored body ends at {offset}")
            offset += sent
        if self.chunked:
            self.sock.sendall(b"\r\n")
        self.sent += piece.count

    def break_connection(self) -> None:
        """Let the client see that this is not the end: reset, where it cannot count the bytes."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
        self.sock.close()


def _environ(req: Any, conn: Any) -> dict[str, Any]:
    client = conn.client
    return {
        "REQUEST_METHOD": req.method,
        "RAW_URI": req.uri,
        "SERVER_PROTOCOL": f"HTTP/{req.version[0]}.{req.version[1]}",
        # A peer on a Unix socket is on this machine.
        "REMOTE_ADDR": client[0] if isinstance(client, tuple) else "127.0.0.1",
        "wsgi.input": req.body,
        "pyproxycache.headers": [(name.title(), value) for name, value in req.headers],
    }
