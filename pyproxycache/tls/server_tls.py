"""The TLS of one listener: what its handshakes go by, made anew when the files change."""

from __future__ import annotations

import logging
import ssl
from collections import deque
from pathlib import Path

from pyproxycache import clock
from pyproxycache.errors import ConfigError
from pyproxycache.net.layered_tls import note_server_names
from pyproxycache.options import TlsOptions
from pyproxycache.tls.tls_files import TlsFiles, first_certificate, read_tls_files, trust
from pyproxycache.tls.validity import minute, validity_of

log = logging.getLogger("pyproxycache")

# What a session on a connection can speak, the best first.
_PROTOCOLS = ["h2", "http/1.1"]

_Stamp = tuple[int, ...]


class ServerTls:
    """The TLS of one listener; `end` belongs to the poller, all else to one thread at a time.

    It is made before the workers are forked. So all of them have the keys that session tickets are
    encrypted with, which Python neither tells nor takes, and a client resumes its session at any worker.
    """

    def __init__(self, options: TlsOptions, place: str) -> None:
        """`place` is where the options are in the configuration. Raises ConfigError."""
        self._options = options
        self._place = place
        self._seen = self._in_force = self._stamps()
        self._files = self._adopted = read_tls_files(options, place)
        self._context = _context_of(self._files)
        self._renewed: deque[TlsFiles] = deque()
        self._warn()

    def end(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """The server's end of the next connection, which reads and writes these."""
        return self._current().wrap_bio(incoming, outgoing, server_side=True)

    def _current(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        while self._renewed:
            files = self._renewed.popleft()
            try:
                self._adopt(files)
            except OSError as error:  # as without a free descriptor
                self._renewed.append(files)
                log.warning("the certificate before goes on for now: %s", error)
                break
        return self._context

    def look(self) -> None:
        """Renew what has changed, once it is unchanged since the last look: it may be half written."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
        elif stamps != self._in_force:
            self.renew()

    def renew(self) -> None:
        """Read the files; what is new comes into force with the next handshake, unless it is broken."""
        self._seen = self._in_force = self._stamps()
        try:
            files = read_tls_files(self._options, self._place)
        except ConfigError as error:
            for line in str(error).splitlines():
                log.error("the certificate stays as it was: %s", line)
            return
        if files != self._files:
            self._files = files
            self._renewed.append(files)
            log.info("%s: the files have changed, and are in force", self._place)
            self._warn()

    def _adopt(self, files: TlsFiles) -> None:
        if files.client_ca == self._adopted.client_ca:
            files.load_into(self._context)
        else:
            # The context cannot forget an authority, and must not resume what another one stood for.
            self._context = _context_of(files)
        self._adopted = files

    def _warn(self) -> None:
        """Say so if the certificate is not valid now, which clients will not accept."""
        try:
            begin, end = validity_of(first_certificate(self._files.certificate))
        except ValueError:
            return  # what it says of its time cannot be told, which is a client's business
        now = clock.wall()
        if not begin <= now <= end:
            word, at = ("has expired on", end) if now > end else ("is not valid before", begin)
            path = self._options.certificate
            log.warning("%s.certificate: %s %s %s", self._place, path, word, minute(at))

    def _stamps(self) -> tuple[_Stamp, ...]:
        options = self._options
        return tuple(map(_stamp, filter(None, (options.certificate, options.key, options.client_ca))))


def server_context() -> ssl.SSLContext:
    """A new context for servers, which has no certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_PROTOCOLS)
    note_server_names(context)
    return context


def _context_of(files: TlsFiles) -> ssl.SSLContext:
    context = server_context()
    if files.client_ca:
        trust(context, files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    files.load_into(context)
    return context


def _stamp(path: Path) -> _Stamp:
    """What is another if the file is, or what it is a link to; empty if there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
