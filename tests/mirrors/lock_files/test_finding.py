"""How locked files are found: by what documents say of them, and by the ends of URLs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyproxycache.mirrors.lock_files.finding import (
    archive_name,
    beginning_of_archives,
    ends_of_files,
    ends_of_indexes,
    image_reference,
    is_locked,
    module_files,
    place_of_clients,
)
from pyproxycache.mirrors.lock_files.locked import Locked
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest


def digest(text: str, algorithm: str = "sha-256") -> ExpectedDigest:
    return ExpectedDigest("test", algorithm, text)


PYTHON = Locked("pypi", "A_b", "1.0")
CRATE = Locked("cargo", "Abc", "1.2.3", file="Abc-1.2.3.crate")
MODULE = Locked("go", "example.test/Tiny", "v1.0.0", file="v1.0.0.zip")
IMAGE = Locked("oci", "registry.test/a/b", "latest")
PACKAGE = Locked("npm", "@a/b", "1.0.0")
WHEEL = "https://files.test/a_b-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("file", "one", "is_it"),
    [
        (NamedFile(WHEEL, (), "a-b", "1.0"), PYTHON, True),
        (NamedFile(WHEEL, (), "a-b", "1.0.0"), PYTHON, True),
        (NamedFile(WHEEL, (), "a-b", "1.0_1"), replace(PYTHON, version="1.0-1"), True),
        (NamedFile(WHEEL, (), "a-b", "1.0.post1"), replace(PYTHON, version="1.0-1"), True),
        (NamedFile(WHEEL, (), "a-b", "1.10"), replace(PYTHON, version="1.1"), False),
        (NamedFile(WHEEL, (), "a-b", "as it is"), replace(PYTHON, version="as it is"), True),
        (NamedFile(f"{WHEEL}.metadata", (), "a-b", "1.0"), PYTHON, False),
        (NamedFile(WHEEL, ()), replace(PYTHON, file="a_b-1.0-py3-none-any.whl"), True),
        (NamedFile(WHEEL, (), "a-b", "1.0"), replace(PYTHON, file="a_b-1.0.tar.gz"), False),
        (NamedFile(WHEEL, (digest("1"),)), replace(PYTHON, digests=(digest("1"), digest("2"))), True),
        (
            NamedFile(WHEEL, (digest("1", "md5"),)),
            replace(PYTHON, digests=(digest("1", "md5"), digest("2"))),
            False,
        ),
        (NamedFile("https://files.test/x", (), "abc", "1.2.3"), CRATE, True),
        (NamedFile("https://files.test/x", (), "abc", "1.2.30"), CRATE, False),
    ],
)
def test_which_file_is_the_locked_one(file: NamedFile, one: Locked, is_it: bool) -> None:
    assert is_locked(file, one) == is_it


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (PACKAGE, ["@a/b/-/b-1.0.0.tgz"]),
        (replace(PACKAGE, version=""), []),
        (replace(PYTHON, file="A_b-1.0.tar.gz"), ["A_b-1.0.tar.gz", "a_b-1.0.tar.gz"]),
        (PYTHON, []),
        (CRATE, ["abc-1.2.3.crate", "abc/1.2.3/download"]),
        (MODULE, ["example.test/!tiny/@v/v1.0.0.zip", "example.test/!tiny/@v/v1.0.0.info"]),
        (replace(MODULE, file="v1.0.0.mod"), ["example.test/!tiny/@v/v1.0.0.mod"]),
        (IMAGE, ["a/b/manifests/latest"]),
        (replace(IMAGE, digests=(digest("0f"),)), ["a/b/manifests/sha256:0f"]),
        (Locked("apt", "tiny", "1"), []),
    ],
)
def test_ends_of_files(one: Locked, ends: list[str]) -> None:
    assert list(ends_of_files(one)) == ends


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (PACKAGE, {"@a%2fb", "@a%2Fb", "@a/b"}),
        (PYTHON, {"simple/A_b/"}),
        (CRATE, {"3/a/abc", "config.json"}),
        (MODULE, set()),
    ],
)
def test_ends_of_indexes(one: Locked, ends: set[str]) -> None:
    assert ends_of_indexes(one) == ends


@pytest.mark.parametrize(
    ("one", "path", "is_of_it"),
    [
        (PYTHON, "x/a.B-1.0.tar.gz", True),
        (PYTHON, "x/a_b-1.0-py3-none-any.whl", True),
        (PYTHON, "x/a%5Fb-1.0.zip", True),
        (PYTHON, "x/a_b-1.01.zip", False),
        (PYTHON, "x/a_b-1.0.html", False),
    ],
)
def test_archives_by_their_names(one: Locked, path: str, is_of_it: bool) -> None:
    name = archive_name(path)
    assert bool(name and name.startswith(beginning_of_archives(one))) == is_of_it


@pytest.mark.parametrize(
    "one",
    [
        replace(PYTHON, file="a"),
        replace(PYTHON, digests=(digest("1"),)),
        replace(PYTHON, version=""),
        CRATE,
    ],
)
def test_what_is_not_told_by_the_name_of_an_archive(one: Locked) -> None:
    assert beginning_of_archives(one) == ""


@pytest.mark.parametrize(
    ("one", "path"),
    [
        (
            replace(PACKAGE, file="b-1.0.0.tgz", url="https://up.test/x/@a/b/-/b-1.0.0.tgz"),
            "@a/b/-/b-1.0.0.tgz",
        ),
        (
            replace(PACKAGE, file="b-1.0.0.tgz", url="https://up.test/@a%2fb/-/b-1.0.0.tgz"),
            "@a/b/-/b-1.0.0.tgz",
        ),
        (replace(PACKAGE, file="b-1.0.0.tgz", url="https://up.test/b-1.0.0.tgz"), ""),
        (replace(PYTHON, file="x", url="https://up.test/A_b/-/x"), ""),
    ],
)
def test_where_clients_ask_for_a_file(one: Locked, path: str) -> None:
    assert place_of_clients(one) == path


def test_a_module_is_asked_for_with_what_is_said_of_it() -> None:
    assert list(module_files(MODULE)) == ["v1.0.0.zip", "v1.0.0.info"]
    assert list(module_files(replace(MODULE, file="v1.0.0.mod"))) == ["v1.0.0.mod"]


def test_an_image_is_asked_for_by_its_digest() -> None:
    assert image_reference(IMAGE) == "latest"
    assert image_reference(replace(IMAGE, digests=(digest("0f"),))) == "sha256:0f"
