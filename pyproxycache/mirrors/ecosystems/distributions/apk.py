"""Alpine packages: indexes state digests of a part of each, which tell nothing of the whole file."""

from __future__ import annotations

import re

from pyproxycache.mirrors.ecosystem import DAY, Ecosystem, PathRule, index
from pyproxycache.rules.policy import Policy

APK = Ecosystem(
    "apk",
    rules=(
        # A package may be built anew under its name: each day it is asked whether it is the same.
        PathRule(re.compile(r".*\.apk$"), Policy(fresh=DAY, stale_if_error=30 * DAY)),
        PathRule(
            re.compile(r"(?:.*/)?(?:APKINDEX\.tar\.gz|Packages\.adb|APKINDEX[^/]*\.adb)$"), index(300)
        ),
        PathRule(re.compile(r"(?:.*/)?latest-releases\.yaml$"), index(300)),
    ),
)
