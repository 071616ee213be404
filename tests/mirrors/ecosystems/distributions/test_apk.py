"""Alpine's paths: nothing never changes, and indexes state no digest of a file."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.ecosystems.distributions.apk import APK


@pytest.mark.parametrize(
    ("path", "fresh"),
    [
        ("v3.20/main/x86_64/APKINDEX.tar.gz", 300),
        ("edge/main/x86_64/Packages.adb", 300),
        ("v3.20/releases/x86_64/latest-releases.yaml", 300),
        ("v3.20/main/x86_64/busybox-1.36.1-r29.apk", 86400),
        ("MIRRORS.txt", None),
    ],
)
def test_how_long_paths_are_good(path: str, fresh: float | None) -> None:
    policy = next((rule.policy for rule in APK.rules if rule.path.match(path)), None)
    assert (policy.fresh if policy else None) == fresh
    assert policy is None or not policy.immutable


def test_no_document_is_read() -> None:
    assert APK.document("v3.20/main/x86_64/APKINDEX.tar.gz", "application/gzip") is None
