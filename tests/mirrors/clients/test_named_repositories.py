"""Repositories as settings name them, and the mirrors that are proposed for them."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.clients.named_repositories import NamedRepository, named_by, proposed
from pyproxycache.mirrors.repositories import TAKEN_NAMES


@pytest.mark.parametrize(
    ("ecosystem", "text", "upstream", "notes"),
    [
        ("pypi", "https://i.test/root/simple/", "https://i.test/root/", ()),
        ("pypi", "https://i.test/simple", "https://i.test/", ()),
        ("pypi", "https://i.test/root/", "https://i.test/root/", ()),
        ("npm", "https://i.test/simple", "https://i.test/simple/", ()),
        ("npm", "HTTPS://I.test:443", "https://i.test/", ()),
        (
            "pypi",
            "https://user:s3cret@i.test/simple",
            "https://i.test/",
            ("the credentials for https://i.test are left out",),
        ),
        (
            "conda",
            "https://i.test/t/s3cret/channel",
            "https://i.test/channel/",
            ("the credentials for https://i.test are left out",),
        ),
        (
            "npm",
            "https://i.test/npm?token=s3cret",
            "https://i.test/npm/",
            ("the query behind https://i.test/npm is left out",),
        ),
    ],
)
def test_upstream(ecosystem: str, text: str, upstream: str, notes: tuple[str, ...]) -> None:
    found = named_by(ecosystem, (text,), "x")
    assert [str(url) for url in found.upstreams] == [upstream]
    assert found.notes == notes


@pytest.mark.parametrize(
    "text",
    [
        "ftp://u:s3cret@h/",
        "/srv/x",
        "https://u:s3cret@/x",
        "https://u:s3cret@h:99999/x?s3cret",
        "https://é/",
    ],
)
def test_what_is_no_upstream_is_said_without_secrets(text: str) -> None:
    found = named_by("npm", (text,), "x")
    assert found.upstreams == ()
    (note,) = found.notes
    assert "is left out" in note
    assert "s3cret" not in note


def names(*repositories: NamedRepository) -> dict[str, list[str]]:
    known = ("pypi", "npm", "generic")
    return {one.name: [one.ecosystem, *map(str, one.upstreams)] for one in proposed(repositories, known)}


def test_one_mirror_for_clients_that_use_the_same() -> None:
    told = [
        named_by("pypi", ("https://i.test/simple",), "pip"),
        named_by("pypi", ("https://i.test/simple/",), "uv"),
        named_by("npm", (), "npm"),
    ]
    (mirror,) = proposed(told, ("pypi",))
    assert (mirror.name, mirror.told_by) == ("pypi", ("pip", "uv"))


def test_names() -> None:
    assert names(
        named_by("apt", ("http://d.test/debian",), ""),
        named_by("apt", ("http://d.test/debian-security",), ""),
        named_by("apt", ("http://e.test/debian",), ""),
        named_by("apt", ("http://e.test/x/api/",), ""),
        named_by("npm", ("http://a.test/",), ""),
        named_by("npm", ("http://[fd00::1]/",), ""),
        named_by("go", ("http://a.test/", "http://b.test/"), ""),
    ) == {
        "debian": ["generic", "http://d.test/debian/"],
        "debian-security": ["generic", "http://d.test/debian-security/"],
        "debian-2": ["generic", "http://e.test/debian/"],
        "apt-api": ["generic", "http://e.test/x/api/"],
        "npm-a.test": ["npm", "http://a.test/"],
        "npm-fd00-1": ["npm", "http://[fd00::1]/"],
        "go": ["generic", "http://a.test/", "http://b.test/"],
    }


@pytest.mark.parametrize("taken", TAKEN_NAMES)
def test_no_name_is_one_of_the_caches_own_paths(taken: str) -> None:
    found = names(
        named_by("apt", (f"http://d.test/{taken}/",), ""), named_by("apt", ("http://d.test/debian",), "")
    )
    assert [*found] == [f"apt-{taken}", "debian"]
