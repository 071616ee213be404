"""Any server of files, of which nothing is known: HTTP's rules count, and the usual immutable paths."""

from __future__ import annotations

from pyproxycache.mirrors.ecosystem import Ecosystem

GENERIC = Ecosystem("generic", rules=())
