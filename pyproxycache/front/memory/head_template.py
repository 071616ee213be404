"""Heads of answers whose age changes: all but the numbers in them."""

from __future__ import annotations

import re
from typing import NamedTuple

_AGE = re.compile(rb"(?<=\r\nAge: )\d+(?=\r\n)")
_TTL = re.compile(rb"(?<=; hit; ttl=)\d+(?=[;\r])")


class Template(NamedTuple):
    """A head in three pieces, around the number of its Age and the ttl in its Cache-Status."""

    begin: bytes
    between: bytes
    end: bytes

    def filled(self, age: int, ttl: int) -> bytes:
        return b"%b%d%b%d%b" % (self.begin, age, self.between, ttl, self.end)


NOTHING = Template(b"", b"", b"")
"""That of no head."""


def template_of(head: bytes) -> Template | None:
    """The template of a head; None if the head has not exactly one Age, or no ttl of this cache."""
    ages, ttls = list(_AGE.finditer(head)), list(_TTL.finditer(head))
    # Of several caches' ttls, the last one is this cache's.
    if len(ages) != 1 or not ttls or ttls[-1].start() < ages[0].end():
        return None
    age, ttl = ages[0], ttls[-1]
    return Template(head[: age.start()], head[age.end() : ttl.start()], head[ttl.end() :])
