"""Appends numbered events to a spool until it is killed: FOLDER SIZE NAME; prints how many are in."""

from __future__ import annotations

import sys
from pathlib import Path

from pyproxycache.report.events.spool import Spool

if __name__ == "__main__":
    folder, size, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    spool, number = Spool(folder, size), 0
    while True:
        batch = [
            b"%s %d %s" % (name.encode(), one, b"x" * (one % 5000)) for one in range(number, number + 7)
        ]
        taken = spool.append(batch)
        number += taken
        print(number, flush=True)
