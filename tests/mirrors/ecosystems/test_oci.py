"""Paths of registries of images."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.ecosystems.oci import OCI, repository_of_path
from pyproxycache.mirrors.path_rules import rules_of
from pyproxycache.mirrors.repositories import repository_at
from pyproxycache.rules.policy import Policies, Policy
from pyproxycache.url import Url

HEX = "0123456789abcdef" * 4
RULES = Policies(rules_of(repository_at(OCI, Url("https", "registry.test", 443, "/below/"))))


def policy(path: str, status: int = 200) -> Policy:
    url = Url("https", "registry.test", 443, f"/below/{path}")
    return RULES.about(url).for_response(status, "application/octet-stream")


@pytest.mark.parametrize(
    ("path", "immutable", "fresh", "by_head"),
    [
        (f"v2/a/blobs/sha256:{HEX}", True, None, False),
        (f"v2/a/b/c/manifests/sha256:{HEX}", True, None, False),
        (f"v2/a/manifests/sha512:{HEX}{HEX}", True, None, False),
        (f"v2/a/manifests/sha256:{HEX}0", False, 60.0, True),
        (f"v2/a/manifests/sha256:{HEX.upper()}", False, 60.0, True),
        ("v2/a/b/manifests/latest", False, 60.0, True),
        (f"v2/a/manifests/sha256-{HEX}", False, 60.0, True),
        ("v2/a/tags/list", False, 60.0, False),
        (f"v2/a/referrers/sha256:{HEX}", False, 60.0, False),
        ("v2/_catalog", False, 60.0, False),
        ("v2/a/blobs/x", False, None, False),
    ],
)
def test_policies(path: str, immutable: bool, fresh: float | None, by_head: bool) -> None:
    found = policy(path)
    assert (found.immutable, found.fresh, found.by_head) == (immutable, fresh, by_head)
    assert not found.no_store


@pytest.mark.parametrize("path", ["v2/", "v2", "v2/a/blobs/uploads/", "v2/a/blobs/uploads/1?x=y"])
def test_passed(path: str) -> None:
    assert policy(path).no_store


def test_what_is_not_there() -> None:
    assert policy("v2/a/manifests/latest", 404).fresh == 60.0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("v2/a/manifests/1", "a"),
        ("v2/library/tiny/blobs/sha256:0", "library/tiny"),
        ("v2/a/blobs/blobs/x", "a/blobs"),
        ("v2/a/tags/list", "a"),
        ("v2/a/referrers/sha256:0", "a"),
        ("v2/_catalog", "v2/_catalog"),
        ("v2/", ""),
        ("v2/A/manifests/1", ""),
        (f"v2/{'a' * 300}/manifests/1", ""),
    ],
)
def test_repositories(path: str, name: str) -> None:
    assert repository_of_path(path) == name
