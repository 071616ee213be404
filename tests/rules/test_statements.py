"""Which statements of a file count: of its own repository, of the mirror that is asked, of others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pyproxycache.rules.statements import in_force, of_mirror, own
from pyproxycache.statement import MOST_OF_A_FILE, Statement

FILE = "https://files.test/p/x-1.0.tar.gz"
NAMED = f"https://files.test/dists/by-hash/SHA256/{'0' * 64}"
A, B = "https://a.test/simple/", "https://b.test/"
OWN, OWN_FOLDER, BESIDE = "https://files.test/", "https://files.test/p/", "https://files.test/q/"
PLAIN, PORT = "http://files.test/", "https://files.test:8443/"


def says(text: str) -> Statement:
    """A statement, as "1 REPOSITORY": the digest it states, with ? behind it if it is not binding."""
    digest, _, repository = text.partition(" ")
    return Statement(repository, (("sha-256", digest[0] * 64),), is_binding=not digest.endswith("?"))


@pytest.mark.parametrize(
    ("key", "told", "repositories", "counted"),
    [
        pytest.param(FILE, [], [], [], id="nothing"),
        pytest.param(FILE, [f"1 {A}"], [], [A], id="one"),
        pytest.param(FILE, [f"1 {A}", f"2 {B}"], [], [A, B], id="any of two others"),
        pytest.param(FILE, [f"1? {A}", f"2 {B}"], [], [B], id="those that bind"),
        pytest.param(FILE, [f"1? {A}", f"2? {B}"], [], [A, B], id="none binds"),
        pytest.param(FILE, [f"1 {A}", f"2 {OWN}"], [], [OWN], id="its own"),
        pytest.param(FILE, [f"1 {A}", f"2? {OWN}"], [], [A], id="its own does not bind"),
        pytest.param(FILE, [f"1 {OWN}", f"2 {OWN_FOLDER}"], [], [OWN_FOLDER], id="the nearest of its own"),
        pytest.param(FILE, [f"1 {BESIDE}", f"2 {OWN}"], [], [OWN], id="its own, and one beside"),
        pytest.param(FILE, [f"1 {BESIDE}", f"2 {A}"], [], [BESIDE], id="its origin's"),
        pytest.param(FILE, [f"1 {PLAIN}", f"2 {A}"], [], [PLAIN, A], id="another scheme"),
        pytest.param(FILE, [f"1 {PORT}", f"2 {A}"], [], [PORT, A], id="another port"),
        pytest.param(FILE, [f"1 {A}", f"2 {B}"], [A], [A], id="by the mirror of one"),
        pytest.param(FILE, [f"1 {A}", f"2 {B}"], [B], [B], id="by that of the other"),
        pytest.param(FILE, [f"1 {A}", f"2 {B}"], [B, A], [B], id="by the mirror of both"),
        pytest.param(FILE, [f"1 {A}", f"2 {B}"], ["https://c.test/"], [A, B], id="by another mirror"),
        pytest.param(FILE, [f"1 {A}", f"2 {OWN}"], [A], [A], id="by a mirror, against its own"),
        pytest.param(FILE, [f"1? {A}", f"2 {B}"], [A], [A], id="by a mirror that does not bind"),
        pytest.param(FILE, [f"1 {A}"], ["https://a.test/"], [A], id="within the mirror's"),
        pytest.param(NAMED, [f"1 {A}"], [], [], id="a file by its digest"),
        pytest.param(NAMED, [f"1 {A}", f"1 {OWN}"], [], [OWN], id="its own, by its digest"),
        pytest.param(f"{NAMED}?x", [f"1 {A}"], [A], [A], id="by a mirror, by its digest"),
    ],
)
def test_which_count(
    key: str, told: Sequence[str], repositories: Sequence[str], counted: list[str]
) -> None:
    statements = [says(one) for one in told]
    assert [one.repository for one in in_force(key, statements, repositories)] == counted


def test_more_than_are_kept_do_not_count() -> None:
    """The right one may not be among them, and whoever fills them up could state anything."""
    many = [says(f"1 https://{number}.test/") for number in range(MOST_OF_A_FILE)]
    assert len(in_force(FILE, many[1:])) == MOST_OF_A_FILE - 1
    assert in_force(FILE, many) == ()
    assert in_force(FILE, many, [many[3].repository]) == (many[3],)
    assert in_force(FILE, [*many[1:], says(f"2 {OWN}")]) == (says(f"2 {OWN}"),)


@pytest.mark.parametrize(
    ("told", "digest"),
    [
        ([], None),
        ([f"1 {A}"], None),
        ([f"2 {B}"], None),
        ([f"1 {A}", f"1 {B}"], None),
        ([f"1 {A}", f"2 {B}"], "1"),
        ([f"1 {A}", f"2 {OWN}"], "1"),
        ([f"1 {A}", f"1 {OWN}", f"2 {B}"], None),
        ([f"1? {A}", f"2 {B}"], "1"),
        ([f"1 {A}", f"2? {B}"], None),
    ],
)
def test_what_a_mirror_has_to_itself(told: Sequence[str], digest: str | None) -> None:
    """Only where others state something else that counts."""
    found = of_mirror(FILE, [says(one) for one in told], [A])
    assert (found.digests[0][1][0] if found else None) == digest
    assert found is None or found.repository == A


@pytest.mark.parametrize(
    ("told", "is_there"), [([], False), ([f"1 {A}"], False), ([f"1 {OWN}"], True), ([f"1 {BESIDE}"], True)]
)
def test_what_is_its_own(told: Sequence[str], is_there: bool) -> None:
    assert (own(FILE, [says(one) for one in told]) is not None) == is_there


def test_texts_are_equal_where_the_digests_are() -> None:
    digests = ("sha-256", "0" * 64), ("sha-512", "1" * 128)
    assert Statement(A, digests).text == Statement(B, digests[::-1]).text
