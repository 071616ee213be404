"""What a leaf costs that is made for a name seen for the first time: `make bench-mints`.

All of it is work of a worker's one poller: the certificate, the context of TLS that shows it, and both
together as a connection meets them. A name seen before costs a look into a table.
"""

from __future__ import annotations

import argparse
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from cryptography.hazmat.primitives.asymmetric import ec

from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.leaves import Leaves

NAMES_OF_ONE = 50
"""Names asked for by one client: fewer than its burst."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        now = time.time()
        authority = CertificateAuthority.create(Path(folder) / "ca", now)
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        leaves = Leaves(authority, make_context)

        def cold(number: int) -> None:
            leaves.context_for(f"h{number}.example.org", f"192.0.2.{number // NAMES_OF_ONE}", now)

        count = options.count
        told("certificate alone", taken(lambda n: authority.mint(f"h{n}.example.org", key, now), count))
        told("cold mint, with its context", taken(cold, count), "  (aim: at most 2 ms)")
        told("seen before", taken(lambda _: cold(count - 1), count))


def make_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def taken(step: Callable[[int], object], count: int) -> list[tuple[float, float]]:
    """Seconds of each step, by the clock and of the core."""
    seconds = []
    for number in range(count):
        began, worked = time.perf_counter(), time.thread_time()
        step(number)
        seconds.append((time.perf_counter() - began, time.thread_time() - worked))
    return seconds


def told(what: str, seconds: list[tuple[float, float]], note: str = "") -> None:
    by_clock, of_core = ([one * 1000 for one in side] for side in zip(*seconds, strict=True))
    late = statistics.quantiles(by_clock, n=100)[98]
    median, core = statistics.median(by_clock), statistics.median(of_core)
    print(f"{what:28} median {median:7.3f} ms, of the core {core:7.3f} ms; 99 % {late:7.3f} ms{note}")


if __name__ == "__main__":
    main()
