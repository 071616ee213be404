"""What an answer has after redirects that the cache followed: fields, Vary, and whether it is outdated."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.redirection import arrived, is_outdated
from pyproxycache.url import Url

SIGNED = "/blob?sig=a&Expires=9"
URL = Url("https", "files.test", 443, "/c/a/?sig=a")


def head(status: int, *lines: str) -> Head:
    return Head(
        status, "", Headers((name, value) for name, _, value in (one.partition(": ") for one in lines))
    )


@pytest.mark.parametrize(
    ("passed", "last", "shown"),
    [
        ([], ["ETag: 1"], ["ETag: 1"]),
        (
            [["X-Repo-Commit: c", "Server: s", "Set-Cookie: a=b"]],
            ["ETag: 1"],
            ["ETag: 1", "X-Repo-Commit: c"],
        ),
        # What the last one says itself counts, then what the first says, which knows the file best.
        ([["X-Linked-Size: 5"]], ["X-Linked-Size: 6"], ["X-Linked-Size: 6"]),
        (
            [["X-Linked-Etag: a"], ["X-Linked-Etag: b", "X-Linked-Size: 5"]],
            [],
            ["X-Linked-Etag: a", "X-Linked-Size: 5"],
        ),
        # A redirect's ETag is its own, but where it says that it is about a file.
        ([["ETag: 1"]], [], []),
        ([["ETag: 1", "X-Linked-Size: 5"]], [], ["X-Linked-Size: 5", "ETag: 1"]),
        ([["ETag: 1", "X-Linked-Size: 5"]], ["ETag: 2"], ["ETag: 2", "X-Linked-Size: 5"]),
        # That Xet has the file, too, is not said.
        ([["X-Xet-Hash: a", "X-Linked-Size: 5"]], [], ["X-Linked-Size: 5"]),
        ([["Docker-Content-Digest: a"]], [], ["Docker-Content-Digest: a"]),
        ([["Vary: Accept, Origin"]], ["Vary: origin"], ["Vary: origin", "Vary: Accept"]),
        ([["Vary: Accept-Encoding"]], [], []),
        (
            [["Vary: Accept-Encoding"]],
            ["Content-Encoding: gzip"],
            ["Content-Encoding: gzip", "Vary: Accept-Encoding"],
        ),
        ([["Vary: *"], ["Vary: *"]], [], ["Vary: *"]),
    ],
)
def test_the_answer_after_redirects(passed: list[list[str]], last: list[str], shown: list[str]) -> None:
    found = arrived([head(302, *lines) for lines in passed], head(200, *last), URL)
    assert found == head(200, *shown)


def test_an_error_is_not_about_the_file() -> None:
    found = arrived([head(302, "X-Repo-Commit: c", "Vary: Accept")], head(404), URL)
    assert found == head(404, "Vary: Accept")


@pytest.mark.parametrize("media_type", ["text/html; charset=utf-8", "application/vnd.x.v1+JSON"])
def test_a_document_says_where_it_was_found(media_type: str) -> None:
    """Its relative links count from there; what is signed is left out."""
    typed = f"Content-Type: {media_type}"
    assert arrived([head(302)], head(200, typed), URL) == head(
        200, typed, "Content-Base: https://files.test/c/a/"
    )
    # Where nothing redirects, its own address counts, whatever it says.
    assert arrived([], head(200, typed, "Content-Base: https://x.test/"), URL) == head(200, typed)
    assert arrived([head(302)], head(404, typed), URL) == head(404, typed)


@pytest.mark.parametrize(
    ("locations", "status", "outdated"),
    [
        ([SIGNED], 403, True),
        ([SIGNED], 400, True),
        (["/x", SIGNED, "/y"], 401, True),
        ([SIGNED], 404, False),
        ([SIGNED], 200, False),
        (["/x"], 403, False),
        ([], 403, False),
    ],
)
def test_a_refusal_behind_a_signed_address_is_outdated(
    locations: list[str], status: int, outdated: bool
) -> None:
    passed = [head(302, f"Location: {location}") for location in locations]
    assert is_outdated(passed, head(status)) == outdated
