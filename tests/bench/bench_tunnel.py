"""What a tunnel carries, beside Squid's, and what thousands of idle ones cost: `make bench-tunnel`.

Client, end and proxy are a process each. Squid is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import Proxy
from load import Address
from scripted import read_head

SQUID_STARTS = 30.0
"""Seconds that it may take."""
_PIECE = bytes(256 << 10)
_ROOM = memoryview(bytearray(256 << 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000, help="through one tunnel")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=5000, help="tunnels that say nothing")
    parser.add_argument("--settle", type=float, default=12.0, help="seconds; spare threads go after 10")
    options = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # Squid gives up root and has to come through
        end = stack.enter_context(serving())
        config = {"connect": {"ports": [end[1]]}}
        proxy = stack.enter_context(Proxy(folder / "proxy", config=config))
        ways: dict[str, Address | None] = {"no proxy": None, "pyproxycache": proxy.address}
        if shutil.which("squid") is not None:
            folder.chmod(0o755)  # Squid gives up root
            ways["Squid"] = stack.enter_context(squid(folder / "squid", end[1]))
        throughput(ways, end, options.megabytes << 20, options.rounds)
        idle(proxy, end, options.idle, options.settle)


def throughput(ways: dict[str, Address | None], end: Address, count: int, rounds: int) -> None:
    """Prints megabytes a second, of ways that are tried by turns."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, proxy in ways.items():
            rates[name].append(count / carried(proxy, end, count) / 1e6)
    print(f"one tunnel, {count >> 20} MiB, {rounds} times by turns:")
    for name, found in rates.items():
        print(
            f"  {name:14} {statistics.median(found):8.0f} MB/s  (from {min(found):.0f} to {max(found):.0f})"
        )
    if "Squid" in rates:
        pairs = zip(rates["pyproxycache"], rates["Squid"], strict=True)
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"  of Squid's     {ratio:8.2f}  (aim: 0.9)")


def carried(proxy: Address | None, end: Address, count: int) -> float:
    """Seconds for so many bytes from the end."""
    with opened(proxy, end) as client:
        began = time.monotonic()
        client.sendall(b"%20d" % count)
        left = count
        while left:
            received = client.recv_into(_ROOM)
            assert received, "it ended short"
            left -= received
        return time.monotonic() - began


def idle(proxy: Proxy, end: Address, count: int, settle: float) -> None:
    """Prints threads and memory of the worker, before and with so many tunnels."""
    (worker,) = proxy.worker_pids()
    with contextlib.ExitStack() as stack:
        before = proxy.rss(worker), threads(worker)
        began = time.monotonic()
        clients = [stack.enter_context(opened(proxy.address, end)) for _ in range(count)]
        seconds = time.monotonic() - began
        time.sleep(settle)
        memory = (proxy.rss(worker) - before[0]) / count
        print(f"{count} idle tunnels, opened in {seconds:.1f} s:")
        print(f"  memory of the worker  {memory / 1024:8.1f} KiB for each")
        print(f"  threads               {threads(worker):8} (before: {before[1]})")
        used = processor_time(worker)
        time.sleep(2)
        print(f"  processor             {(processor_time(worker) - used) / 2 * 100:8.1f} %")
        for client in clients:  # each still carries something
            client.sendall(b"%20d" % 1)
        assert all(client.recv(1) for client in clients)


def opened(proxy: Address | None, end: Address) -> socket.socket:
    """A connection to the end, through a tunnel where there is a proxy."""
    client = socket.create_connection(proxy or end, 30)
    if proxy is not None:
        client.sendall(b"CONNECT %b:%d HTTP/1.1\r\nHost: end\r\n\r\n" % (end[0].encode(), end[1]))
        head = read_head(client)
        assert b" 200 " in head, head
    return client


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def processor_time(pid: int) -> float:
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving() -> Iterator[Address]:
    """What the tunnels lead to, in a process of its own: asked for so many bytes, it sends them."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        child = os.fork()
        if child == 0:
            serve(listener)
        try:
            yield listener.getsockname()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def serve(listener: socket.socket) -> None:
    """Never returns."""
    watched = selectors.DefaultSelector()
    watched.register(listener, selectors.EVENT_READ)
    while True:
        for key, _events in watched.select():
            if key.fileobj is listener:
                watched.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            with contextlib.suppress(OSError):
                asked = connection.recv(20)
                if asked:
                    left = int(asked)
                    while left:
                        left -= connection.send(memoryview(_PIECE)[:left])
                    continue
            watched.unregister(connection)
            connection.close()


@contextlib.contextmanager
def squid(folder: Path, end_port: int) -> Iterator[Address]:
    """A Squid that opens tunnels to the port, and logs what this proxy would."""
    folder.mkdir()
    folder.chmod(0o777)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address: Address = free.getsockname()
    lines = (
        f"http_port 127.0.0.1:{address[1]}",
        f"acl tunnels port {end_port}",
        "http_access allow CONNECT tunnels",
        "http_access deny all",
        f"pid_filename {folder}/pid",
        f"cache_log {folder}/log",
        "access_log none",
        "cache deny all",
        f"coredump_dir {folder}",
        "shutdown_lifetime 0 seconds",
        "pinger_enable off",
        "client_dst_passthru off",
    )
    (folder / "squid.conf").write_text("\n".join(lines) + "\n")
    said = folder / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            ["squid", "-N", "-f", str(folder / "squid.conf")], stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + SQUID_STARTS
        while not _accepts(address):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Squid does not start: {said.read_text(errors='replace')}")
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait(10)


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
