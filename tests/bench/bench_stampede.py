"""50 clients, one cold 100 MB object, 2 workers, an origin at 25 MB/s: `make bench-stampede`.

Prints the figures beside one direct download of the same object in the same run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import Proxy
from load import LoadProcess
from origin import Generated, OriginProcess

MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--size", type=int, default=100 * MB)
    parser.add_argument("--rate", type=int, default=25 * MB)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    body = Generated(options.size, seed=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        OriginProcess() as origin,
        Proxy(Path(folder), workers=options.workers, threads=options.clients + 14) as proxy,
    ):
        for path in ("/direct", "/cold"):
            origin.put(path, body, rate=options.rate, etag='"1"', cache_control="max-age=3600")
        direct = LoadProcess(None, [origin.url("/direct")], 1, expected=body).result()
        stampede = proxy.load([origin.url("/cold")], options.clients, expected=body).result()
        right = sum(client.ok for client in stampede.clients)
        print(f"direct download      {direct.seconds:8.2f} s")
        print(f"{options.clients} clients, cold     {stampede.seconds:8.2f} s")
        print(f"ratio                {stampede.seconds / direct.seconds:8.3f}   (aim: under 1.15)")
        print(f"median first byte    {stampede.median_ttfb * 1000:8.1f} ms  (aim: under 100 ms)")
        print(f"origin requests      {origin.count('/cold'):8d}   (aim: 1)")
        print(f"right bodies         {right:8d}   (aim: {options.clients})")


if __name__ == "__main__":
    main()
