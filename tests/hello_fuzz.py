"""Mutated ClientHellos to a real server: `python tests/hello_fuzz.py 100000`."""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from cryptography import x509
from harness import Proxy, Reply
from hellos import said
from raw import request
from waiting import until

from pyproxycache.tls.certificate_authority import CertificateAuthority

HOST = "hello.example"
_PATIENCE = 20.0
_AT_ONCE = 24
_WARMED_UP = 2000
_MOST_GROWTH, _MOST_KEPT = 8 << 20, 36 << 20
"""Bytes of memory that a server may take more in the second half, and in all: it keeps 1,000 leaves."""
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NAMES = (
    b"",
    b"\x00",
    b"*",
    b"*.example",
    b"a..b",
    b"-",
    b"1.2.3.4",
    b"x" * 300,
    b"a\x00b",
    b"\xff",
    b"a b",
)


def usual_hellos() -> list[bytes]:
    """Those of OpenSSL; TLS 1.2 shows the certificate in clear."""
    lists: tuple[tuple[str, ...], ...] = ((), ("http/1.1",), ("h2", "http/1.1"), ("imap",))
    return [said(HOST, one, version) for one in lists for version in ("TLSv1_2", "TLSv1_3")]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """The message with something of it changed, its lengths right or wrong, in records of any size."""
    data = bytearray(raw)
    for _change in range(chance.choice((0, 1, 1, 1, 2, 5, 20))):
        place = chance.randrange(len(data)) if data else 0
        match chance.randrange(7):
            case 0 | 1:
                data[place : place + 1] = bytes((chance.randrange(256),))
            case 2:
                del data[place : place + chance.randrange(1, 40)]
            case 3:
                data[place:place] = chance.randbytes(chance.randrange(1, 40))
            case 4:
                data = bytearray(_renamed(bytes(data), chance))
            case 5:
                data[place:place] = data[place : place + chance.randrange(1, 200)]
            case _:
                data[place : place + 2] = chance.choice(
                    (b"\x00\x00", b"\xff\xff", b"\x40\x00", b"\x00\x01")
                )
    message = bytes(data[5:])
    match chance.randrange(4):
        case 0:
            return bytes(data)
        case 1:
            size = chance.choice((1, 7, 100, 1000))
            pieces = [message[at : at + size] for at in range(0, len(message), size)]
        case _:
            message = message[:1] + (max(0, len(message) - 4)).to_bytes(3, "big") + message[4:]
            pieces = [message]
    return b"".join(data[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def _renamed(raw: bytes, chance: random.Random) -> bytes:
    """The message for another server, with lengths that fit; the same if it has no name any more."""
    at, lengths = raw.find(HOST.encode()), _lengths_of_extensions(raw)
    if at < 9 or lengths + 2 > len(raw):
        return raw
    new = chance.choice(
        (*_NAMES, chance.randbytes(chance.randrange(30)), b"n%d.example" % chance.randrange(99))
    )
    size = len(new)
    name = b"".join(count.to_bytes(2, "big") for count in (size + 5, size + 3)) + b"\x00"
    whole = int.from_bytes(raw[lengths : lengths + 2], "big") + size - len(HOST)
    before = raw[:lengths] + (whole % (1 << 16)).to_bytes(2, "big") + raw[lengths + 2 : at - 7]
    return before + name + size.to_bytes(2, "big") + new + raw[at + len(HOST) :]


def _lengths_of_extensions(raw: bytes) -> int:
    """Where the length of all extensions stands in a record with a whole message."""
    at = 5 + 4 + 2 + 32
    for size in (1, 2, 1):
        at += size + int.from_bytes(raw[at : at + size], "big")
    return at


def is_host(name: str) -> bool:
    """Whether a certificate may be for the name: of labels, the last of them no number (RFC 1123)."""
    labels = name.split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


@dataclass
class Trial:
    """What became of a number of messages."""

    tried: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    """Of the leaves that were seen."""


class Fuzzed:
    """A server that intercepts all hosts, and tunnels to a port where nobody stays."""

    def __init__(self, folder: Path) -> None:
        CertificateAuthority.create(folder / "ca", time.time())
        self._sink = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._sink.getsockname()[1]
        config = {
            "connect": {"ports": [self.port]},
            "intercept": {"hosts": ["*"], "ca": str(folder / "ca")},
            "log": {"access": str(folder / "access.log"), "format": "json"},
        }
        self.proxy = Proxy(folder / "proxy", config=config)
        self.trial = Trial()
        self._sizes: list[int] = []  # bytes of memory of the server's worker

    def __enter__(self) -> Self:
        threading.Thread(target=self._sink_all, daemon=True).start()
        self.proxy.start()
        until(self.proxy.worker_pids)
        (self._worker,) = self.proxy.worker_pids()
        return self

    def __exit__(self, *exc: object) -> None:
        self.proxy.close()
        self._sink.shutdown(socket.SHUT_RDWR)
        self._sink.close()

    def try_all(self, messages: Iterator[bytes]) -> Trial:
        """Send each message; AssertionError where the server does not take it as it should."""
        descriptors = self._descriptors()
        numbers = iter(range(1 << 30))
        with selectors.DefaultSelector() as selector:
            open_now = 0
            while True:
                while open_now < _AT_ONCE and (message := next(messages, None)) is not None:
                    _Client(self, message, next(numbers)).watch(selector)
                    open_now += 1
                if not open_now:
                    break
                ready = selector.select(_PATIENCE)
                assert ready, "the server leaves its clients waiting"
                for key, _ in ready:
                    open_now -= key.data.advance(selector)
                self._look()
        self._judge(descriptors)
        return self.trial

    def _look(self) -> None:
        if self.trial.tried % 500 == 0 and self.trial.tried >= _WARMED_UP:
            self._sizes.append(self.proxy.rss(self._worker))

    def told_sizes(self) -> str:
        """What memory it took meanwhile, in some 20 numbers."""
        return ", ".join(str(size >> 20) for size in self._sizes[:: 1 + len(self._sizes) // 20])

    def _judge(self, descriptors: int) -> None:
        nonsense = [name for name in self.trial.names if not is_host(name)]
        assert not nonsense, f"leaves for {nonsense}"
        assert self.proxy.worker_pids() == [self._worker], "a worker has ended"
        log = self.proxy.log()
        assert "Traceback" not in log, log[-5000:]
        if self._sizes:
            first, half, last = self._sizes[0], self._sizes[len(self._sizes) // 2], self._sizes[-1]
            told = self.told_sizes()
            assert last - half < _MOST_GROWTH, f"it takes more and more (MB): {told}"
            assert last - first < _MOST_KEPT, f"it keeps too much (MB): {told}"
        until(lambda: self._descriptors() <= descriptors + 5)
        answer: Reply = self.proxy.get("/api/v1/health/")
        assert answer.body == b"ok"

    def _descriptors(self) -> int:
        return len(list(Path(f"/proc/{self._worker}/fd").iterdir()))

    def _sink_all(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._sink.accept()[0].close()


class _Client:
    """Sends one message behind a CONNECT, then ends its side, and reads what comes."""

    def __init__(self, server: Fuzzed, message: bytes, number: int) -> None:
        # The last of each address: who refuses leaves thrice gets tunnels.
        source = f"127.{10 + (number >> 15) % 200}.{(number >> 7) % 256}.{1 + number % 100}"
        self._server = server
        self._connection = socket.create_connection(server.proxy.address, _PATIENCE, (source, 0))
        self._connection.sendall(request(f"CONNECT 127.0.0.1:{server.port}") + message)
        self._got = b""
        self._is_done = False

    def watch(self, selector: selectors.BaseSelector) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        self._connection.setblocking(False)
        selector.register(self._connection, selectors.EVENT_READ, self)

    def advance(self, selector: selectors.BaseSelector) -> bool:
        """Read on; returns whether that was the end."""
        try:
            data = self._connection.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._got += data
        if data:
            return False
        selector.unregister(self._connection)
        self._connection.close()
        self._note()
        return True

    def _note(self) -> None:
        trial = self._server.trial
        head, _, rest = self._got.partition(b"\r\n\r\n")
        trial.tried += 1
        assert head.startswith(b"HTTP/1.1 200 ") or not head, head
        kinds = {b"\x16": "handshake", b"\x15": "alert", b"": "nothing"}
        trial.ends[kinds.get(rest[:1], "other")] += 1
        if rest[:1] == b"\x16":
            trial.names.update(shown_names(rest))


def shown_names(raw: bytes) -> list[str]:
    """The names in the first certificate that a server shows in clear, as in TLS 1.2; none otherwise."""
    messages, place = b"", 0
    while raw[place : place + 1] == b"\x16":
        end = place + 5 + int.from_bytes(raw[place + 3 : place + 5], "big")
        messages, place = messages + raw[place + 5 : end], end
    while len(messages) >= 4:
        length = int.from_bytes(messages[1:4], "big")
        if messages[0] == 11:
            size = int.from_bytes(messages[7:10], "big")
            leaf = x509.load_der_x509_certificate(messages[10 : 10 + size])
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            return list(names.get_values_for_type(x509.DNSName))
        messages = messages[4 + length :]
    return []


def made(hellos: Sequence[bytes], seed: int, count: int, seconds: float = float("inf")) -> Iterator[bytes]:
    """So many messages at most, and none after so many seconds."""
    chance, end = random.Random(seed), time.monotonic() + seconds
    for _ in range(count):
        if time.monotonic() > end:
            return
        yield mutated(chance.choice(hellos), chance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, Fuzzed(Path(folder)) as server:
        trial = server.try_all(made(usual_hellos(), options.seed, options.count))
    print(f"seed {options.seed}: {trial.tried} messages, {dict(trial.ends)}")
    print(f"{len(trial.names)} names of leaves seen in clear, as {', '.join(sorted(trial.names)[:5])}")
    print(f"memory of the worker, from {_WARMED_UP} messages on (MB): {server.told_sizes()}")
    sys.exit(not trial.tried)


if __name__ == "__main__":
    main()
