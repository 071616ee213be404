"""Where an ecosystem's documents are, by the names of packages as people and lock files write them."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.ecosystems.go import without_capitals
from pyproxycache.mirrors.ecosystems.oci import repository_of_image
from pyproxycache.mirrors.python_names import python_name


@pytest.mark.parametrize(
    ("ecosystem", "package", "path"),
    [
        ("pypi", "six", "simple/six/"),
        ("pypi", "a/b", "simple/a%2Fb/"),
        ("npm", "tiny", "tiny"),
        ("npm", "@scope/tiny", "@scope%2ftiny"),
        ("npm", "a b/c", "a%20b%2Fc"),
        ("cargo", "A", "1/a"),
        ("cargo", "ab", "2/ab"),
        ("cargo", "Abc", "3/a/abc"),
        ("cargo", "Serde", "se/rd/serde"),
        ("apt", "hello", None),
        ("generic", "hello", None),
        *((name, "", None) for name in ("pypi", "npm", "cargo")),
    ],
)
def test_the_document_of_a_package(ecosystem: str, package: str, path: str | None) -> None:
    assert ECOSYSTEMS[ecosystem].document_path(package) == path


@pytest.mark.parametrize(
    ("ecosystem", "path", "keys"),
    [
        ("cargo", "se/rd/serde", {"config.json"}),
        ("cargo", "config.json", set()),
        ("pypi", "simple/six/", set()),
        ("generic", "se/rd/serde", set()),
    ],
)
def test_the_documents_that_are_needed_for_another(ecosystem: str, path: str, keys: set[str]) -> None:
    assert ECOSYSTEMS[ecosystem].keys_of(path) == keys


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("tiny", "library/tiny"),
        ("me/tiny", "me/tiny"),
        ("registry.test/me/tiny", "me/tiny"),
        ("cache:5000/tiny", "tiny"),
        ("localhost/tiny", "tiny"),
    ],
)
def test_the_repository_of_an_image(image: str, repository: str) -> None:
    assert repository_of_image(image) == repository


def test_names_in_one_form() -> None:
    assert [python_name(one) for one in ("Zope.Interface", "a_-.b", "six")] == [
        "zope-interface",
        "a-b",
        "six",
    ]
    assert (
        without_capitals("github.com/Azure/SDK/@v/v1.0.0.zip") == "github.com/!azure/!s!d!k/@v/v1.0.0.zip"
    )
