"""Many clients in one process that cost next to nothing: they count bytes, and the kernel drops them.

`pull.py all URL --clients 50` downloads at once and prints JSON, `again` does so over and over for
`--seconds`, in the name of `--agents` user agents in turn. `paced` asks `--rate` times a second, whether
answers come or not, and counts from when a request was due. `slow` reads at `--rate` and `idle` keeps
connections after one request each: both print a line when all got their first bytes, go on until their
input ends, and then print JSON. Bodies need a Content-Length.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

LOW_WATER = 1 << 20
"""Bytes for which a client of `all` wakes: 500 times 100 MB are 50,000 wake-ups."""
BUFFER = memoryview(bytearray(16 << 20))
SLOTS = 100
"""Groups into which slow readers are dealt; each reads once a second."""
WINDOW = 32 << 10
"""SO_RCVBUF of a slow reader, bytes: what the server sees of its slowness."""
AT_ONCE = 200
"""Slow or idle clients that wait for their first byte at the same time."""
PATIENCE = 20.0
"""Seconds without any progress, after which clients give up."""


class Client:
    """One request on a non-blocking connection; seconds count from before connecting."""

    def __init__(self, url: str, window: int = 0) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._begin()
        self.error: str | None = None
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.connect_ex((parts.hostname, parts.port))

    def _begin(self) -> None:
        self._head = bytearray()
        self.received, self.length = 0, -1
        self.first: float | None = None
        self.started, self.seconds = time.monotonic(), 0.0

    def repeat(self, agent: int) -> None:
        """The same request once more on the same connection; OSError."""
        self._begin()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self.socket.send(self._request[:-2] + f"User-Agent: Bench/{agent}\r\n\r\n".encode())

    @property
    def whole(self) -> bool:
        return self.received == self.length

    def send(self) -> None:
        """Sends the request, when the connection can be written to; OSError."""
        self.socket.send(self._request)

    def read_head(self) -> bool:
        """Takes what came, up to the body's first byte; whether that is there. OSError, ValueError."""
        data = self.socket.recv(1024)
        if not data:
            raise ConnectionError("closed before the body")
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if end and self.length < 0:
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise ValueError(f"not a 200 with a length: {head[:100]!r}")
            self.length = int(length[1])
        if body:
            self.first = time.monotonic() - self.started
            self.received = len(body)
        return bool(body)

    def drop(self, limit: int) -> int:
        """Takes at most so many bytes of the body without a copy; OSError where it ended."""
        count = self.socket.recv_into(BUFFER, min(limit, len(BUFFER)), socket.MSG_TRUNC)
        if not count:
            raise ConnectionError(f"closed after {self.received} of {self.length} bytes")
        self.received += count
        return count

    def wake_at(self, low: int) -> None:
        """Has the kernel wake us for so many bytes, or for the rest where that is less."""
        left = min(low, self.length - self.received)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(1, left))

    def end(self, error: str | None = None) -> None:
        """It is over; the connection is closed by whoever waits for it."""
        self.seconds, self.error = time.monotonic() - self.started, error


class Loop:
    """Waits for all clients at once.

    `begun` is called with each whose first byte came, `whole` with each whose last one did; where they say
    True, it is done with.
    """

    def __init__(self, begun: Callable[[Client], bool], whole: Callable[[Client], bool]) -> None:
        self._begun, self._whole = begun, whole
        self._poll = select.epoll()
        self.open: dict[int, Client] = {}

    def add(self, client: Client) -> None:
        self.open[client.socket.fileno()] = client
        self._poll.register(client.socket, select.EPOLLOUT)

    def turn(self, seconds: float = PATIENCE) -> None:
        """Does what happens within so many seconds; TimeoutError after a long silence."""
        events = self._poll.poll(seconds)
        if not events and seconds >= PATIENCE:
            raise TimeoutError(f"{len(self.open)} clients got nothing for {PATIENCE:.0f} s")
        for descriptor, event in events:
            client = self.open[descriptor]
            try:
                done = self._step(client, event)
            except BlockingIOError:
                continue
            except (OSError, ValueError) as failure:
                client.end(f"{type(failure).__name__}: {failure}")
                done = True
            if done:
                self._forget(client)

    def _step(self, client: Client, event: int) -> bool:
        if event & select.EPOLLOUT:
            client.send()
            self._poll.modify(client.socket, select.EPOLLIN)
            return False
        if client.first is None:
            if not client.read_head():
                return False
            return self._whole(client) if client.whole else self._begun(client)
        client.drop(client.length - client.received)
        if client.whole:
            return self._whole(client)
        if client.length - client.received < LOW_WATER:
            client.wake_at(LOW_WATER)
        return False

    def _forget(self, client: Client) -> None:
        self._poll.unregister(client.socket)
        del self.open[client.socket.fileno()]
        if client.seconds:
            client.socket.close()


def begun(client: Client) -> bool:
    """From now on it wakes for more than a byte."""
    client.wake_at(LOW_WATER)
    return False


def ended(client: Client) -> bool:
    """Its only download is over."""
    client.end()
    return True


def at_once(loop: Loop, url: str, count: int) -> list[Client]:
    """Runs so many clients to their ends."""
    clients = [Client(url) for _ in range(count)]
    for client in clients:
        loop.add(client)
    while loop.open:
        try:
            loop.turn()
        except TimeoutError as failure:
            for client in loop.open.values():
                client.end(str(failure))
            break
    return clients


def download(url: str, count: int) -> dict[str, object]:
    """All at once, each to its end."""
    started, before = time.monotonic(), time.process_time()
    clients = at_once(Loop(begun, ended), url, count)
    firsts = [client.first for client in clients if client.first is not None]
    return {
        "seconds": max(client.seconds + client.started for client in clients) - started,
        "first": statistics.median(firsts) if firsts else None,
        "whole": sum(client.whole for client in clients),
        "bytes": sum(client.received for client in clients),
        "cpu": time.process_time() - before,
        "errors": errors_of(clients),
    }


def again(url: str, count: int, seconds: float, agents: int) -> dict[str, object]:
    """All over and over; those that run when the time is up go to their ends, and count."""
    took: list[float] = []
    received = 0
    started = time.monotonic()

    def whole(client: Client) -> bool:
        nonlocal received
        received += client.received
        took.append(time.monotonic() - client.started)
        if time.monotonic() - started > seconds:
            return ended(client)
        client.repeat(len(took) % agents)
        return False

    clients = at_once(Loop(begun, whole), url, count)
    return {
        "seconds": time.monotonic() - started,
        "took": took,
        "bytes": received,
        "errors": errors_of(clients),
    }


def paced(url: str, count: int, rate: int, seconds: float) -> dict[str, object]:
    """So many requests a second over so many connections; each waits from when it was due."""
    clients = [Client(url) for _ in range(count)]
    free: list[Client] = []
    took: list[float] = []
    due_of: dict[Client, float] = {}

    def whole(client: Client) -> bool:
        if client in due_of:
            took.append(time.monotonic() - due_of.pop(client))
        free.append(client)
        return False

    loop = Loop(begun, whole)
    for client in clients:
        loop.add(client)
    while len(free) < count:  # each has connected, and had its first answer
        loop.turn()
        if errors := errors_of(clients):
            raise ConnectionError(errors[0])
    started = time.monotonic()
    asked, total = 0, int(rate * seconds)
    while len(took) < total and not errors_of(clients):
        now = time.monotonic()
        while asked < total and free and (due := started + asked / rate) <= now:
            client = free.pop()
            due_of[client] = due
            client.repeat(0)
            asked += 1
        loop.turn(max(0.0, started + asked / rate - now) if free and asked < total else PATIENCE)
    return {
        "seconds": time.monotonic() - started,
        "took": took,
        "bytes": sum(client.received for client in clients),
        "errors": errors_of(clients),
    }


def errors_of(clients: list[Client]) -> list[str]:
    return sorted({client.error for client in clients if client.error})


def hold(url: str, count: int, rate: int) -> dict[str, object]:
    """Keeps so many connections until the input ends, reading `rate` bytes a second (0: none)."""
    clients: list[Client] = []
    loop = Loop(lambda client: True, lambda client: True)
    while len(clients) - len(loop.open) < count:
        while len(clients) < count and len(loop.open) < AT_ONCE:
            clients.append(Client(url, WINDOW if rate else 0))
            loop.add(clients[-1])
        loop.turn()
        if errors := errors_of(clients):
            held = sum(client.first is not None for client in clients)
            raise ConnectionError(f"after {held} of {count} connections: {errors[0]}")
    print("ready", flush=True)
    before, started = sum(client.received for client in clients), time.monotonic()
    _read_slowly(clients, rate)
    seconds = time.monotonic() - started
    return {
        "rate": (sum(client.received for client in clients) - before) / seconds / count,
        "errors": errors_of(clients),
    }


def _read_slowly(clients: list[Client], rate: int) -> None:
    """Every client takes `rate` bytes once a second, a slot of them after the other, until input ends."""
    due, slot = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        for client in clients[slot::SLOTS]:
            if not client.error and rate:
                _take(client, rate)
        due, slot = due + 1 / SLOTS, (slot + 1) % SLOTS


def _take(client: Client, limit: int) -> None:
    try:
        client.drop(limit)
    except BlockingIOError:
        pass  # the server sent nothing for it this second
    except OSError as failure:
        client.end(str(failure))
        client.socket.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Many clients that count bytes, and print JSON.")
    parser.add_argument("mode", choices=["all", "again", "paced", "slow", "idle"])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument(
        "--rate", type=int, default=10_000, help="bytes a second of a slow reader, or requests"
    )
    parser.add_argument("--seconds", type=float, default=3, help="how long to download again")
    parser.add_argument("--agents", type=int, default=1, help="user agents of those who download again")
    options = parser.parse_args()
    try:
        if options.mode == "all":
            result = download(options.url, options.clients)
        elif options.mode == "again":
            result = again(options.url, options.clients, options.seconds, options.agents)
        elif options.mode == "paced":
            result = paced(options.url, options.clients, options.rate, options.seconds)
        else:
            result = hold(options.url, options.clients, options.rate if options.mode == "slow" else 0)
    except OSError as failure:
        sys.exit(str(failure))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
