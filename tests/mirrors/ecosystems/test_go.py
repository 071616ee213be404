"""Paths of Go's module proxies and databases of checksums."""

from __future__ import annotations

import pytest
from path_policies import kept

from pyproxycache.mirrors.ecosystems.go import GO, SUMDB


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("example.test/a/@v/v1.0.0.info", "immutable"),
        ("example.test/!azure/a/v2/@v/v2.10.0-!beta.1.mod", "immutable"),
        ("example.test/a/@v/v0.0.0-20261101100000-abcdef012345.zip", "immutable"),
        ("example.test/a/@v/v2.0.0+incompatible.zip", "immutable"),
        ("example.test/a/@v/list", "60"),
        ("example.test/a/@latest", "60"),
        ("example.test/a/@v/main.info", "60"),
        ("example.test/a/@v/v1.info", "60"),
        ("example.test/a/@v/v1.2.info", "60"),
        ("example.test/a/@v/v1.0.0.ziphash", ""),
        ("@v/v1.0.0.zip", ""),
    ],
)
def test_paths_of_modules(path: str, how: str) -> None:
    assert kept(GO, path) == how


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("lookup/example.test/!azure@v1.0.0", "immutable"),
        ("tile/8/0/000", "immutable"),
        ("tile/8/data/x001/x234/067", "immutable"),
        ("tile/8/1/x001/234.p/17", "immutable"),
        ("tile/8/1/x001/234.p/", ""),
        ("latest", "60"),
        ("supported", ""),
    ],
)
def test_paths_of_databases(path: str, how: str) -> None:
    assert kept(SUMDB, path) == how


@pytest.mark.parametrize(("status", "how"), [(404, "60"), (410, "60"), (451, ""), (403, ""), (502, "")])
def test_what_is_absent(status: int, how: str) -> None:
    assert kept(GO, "example.test/a/@v/v1.0.0.zip", status) == how
