"""Simple pages of Python packages: links, digests, times, and what else stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.ecosystems.pypi import PYPI
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

JSON = "application/vnd.pypi.simple.v1+json"
DIGEST, OTHER = "ab" * 32, "cd" * 32


def digests(*stated: str) -> tuple[ExpectedDigest, ...]:
    return tuple(ExpectedDigest("simple page", "sha-256", one) for one in stated)


def page(*files: dict[str, Any]) -> bytes:
    return json.dumps(
        {"meta": {"api-version": "1.3"}, "name": "a-b", "files": files, "versions": ["1"]}
    ).encode()


def test_a_page_in_json() -> None:
    wheel = {
        "filename": "A_b-1.0-py3-none-any.whl",
        "url": "https://files.test/p/A_b-1.0-py3-none-any.whl",
        "hashes": {"sha256": DIGEST, "blake2b": "00"},
        "core-metadata": {"sha256": OTHER},
        "upload-time": "2026-11-01T10:00:00.5Z",
        "yanked": "broken",
        "requires-python": ">=3.9",
        "size": 5,
        "provenance": None,
    }
    source = {"filename": "a-b-1.0.tar.gz", "url": "../../f/a-b-1.0.tar.gz#x", "hashes": {}}
    found = shown(PYPI, "simple/a-b/", JSON, page(wheel, source))
    url = "https://files.test/p/A_b-1.0-py3-none-any.whl"
    assert json.loads(found.text) == json.loads(
        page(
            {**wheel, "url": f"mirror:{url}"},
            {**source, "url": "mirror:https://index.test/f/a-b-1.0.tar.gz#x"},
        )
    )
    assert found.named == [
        NamedFile(url, digests(DIGEST), "a-b", "1.0"),
        NamedFile(f"{url}.metadata", digests(OTHER), "a-b", "1.0"),
        NamedFile("https://index.test/f/a-b-1.0.tar.gz#x"),
    ]


@pytest.mark.parametrize("media_type", ["text/html", "application/vnd.pypi.simple.v1+html"])
def test_a_page_in_html(media_type: str) -> None:
    text = (
        f'<a href="https://files.test/x-1.0.tar.gz?a=1&amp;b=2#sha256={DIGEST}"'
        ' data-requires-python="&gt;=3"'
        f' data-core-metadata="sha256={OTHER}">x-1.0.tar.gz</a>\n<a href="../y/">y</a><a name="z">z</a>'
    )
    found = shown(PYPI, "simple/x/", media_type, text.encode())
    url = "https://files.test/x-1.0.tar.gz?a=1&b=2"
    assert found.text.decode() == text.replace("https://files", "mirror:https://files").replace(
        "../y/", "mirror:https://index.test/simple/y/"
    )
    assert [(one.url, one.digests) for one in found.named] == [
        (url, digests(DIGEST)),
        (f"{url}.metadata", digests(OTHER)),
        ("https://index.test/simple/y/", ()),
    ]


@pytest.mark.parametrize("reference", ["//ex\u2100mple/x", "http://[x]y/"])
def test_a_link_that_is_no_url_stays(reference: str) -> None:
    """And the others are there all the same."""
    told = [{"url": url, "hashes": {}} for url in (reference, "y-1.0.zip")]
    found = shown(PYPI, "simple/x/", JSON, page(*told))
    urls = [f"mirror:{reference}", "mirror:https://index.test/simple/x/y-1.0.zip"]
    assert [file["url"] for file in json.loads(found.text)["files"]] == urls
    text = "".join(f'<a href="{one["url"]}">x</a>' for one in told)
    shown_text = "".join(f'<a href="{url}">x</a>' for url in urls)
    assert shown(PYPI, "simple/x/", "text/html", text.encode()).text.decode() == shown_text


def test_files_are_left_out() -> None:
    files = [{"url": f"x-{version}.tar.gz", "hashes": {}} for version in ("1.0", "2.0")]
    found = shown(PYPI, "simple/x/", JSON, page(*files), is_shown=lambda file: "2.0" not in file.url)
    assert [file["url"] for file in json.loads(found.text)["files"]] == [
        "mirror:https://index.test/simple/x/x-1.0.tar.gz"
    ]


@pytest.mark.parametrize("file", [7, None, "x", {}, {"url": 5}, []])
def test_what_is_no_file_stays(file: Any) -> None:
    assert json.loads(shown(PYPI, "simple/x/", JSON, page(file)).text) == json.loads(page(file))


@pytest.mark.parametrize(
    ("name", "package", "version"),
    [
        ("A.b_c-1.0-py3-none-any.whl", "a-b-c", "1.0"),
        ("a-1.0-1-cp311-cp311-linux_x86_64.whl", "a", "1.0"),
        ("a-b-1.0rc1.tar.gz", "a-b", "1.0rc1"),
        ("a-1.0.zip", "a", "1.0"),
        ("a%2D1.0.zip", "a", "1.0"),
        ("README", "", ""),
    ],
)
def test_what_a_file_belongs_to(name: str, package: str, version: str) -> None:
    found = shown(PYPI, "simple/x/", JSON, page({"url": f"https://files.test/{name}"}))
    assert [(one.package, one.version) for one in found.named] == [(package, version)]


@pytest.mark.parametrize("found_at", ["", "https://moved.test/a/b/"])
def test_references_count_from_where_the_page_was_found(found_at: str) -> None:
    text = page({"url": "../x-1.0.tar.gz"})
    found = shown(PYPI, "simple/x/", JSON, text, found_at=found_at)
    base = "https://moved.test/a/" if found_at else "https://index.test/simple/"
    assert found.named == [NamedFile(f"{base}x-1.0.tar.gz", (), "x", "1.0")]


def test_references_count_from_what_the_page_says() -> None:
    """Clients count from the base, so it is left out where links lead to the mirror."""
    text = b'<base href="../f/"><a href="x-1.0.tar.gz">x</a>'
    found = shown(PYPI, "simple/x/", "text/html", text, found_at="https://moved.test/a/b/")
    url = "https://moved.test/a/f/x-1.0.tar.gz"
    assert found.text == f'<a href="mirror:{url}">x</a>'.encode()
    assert found.named == [NamedFile(url, (), "x", "1.0")]


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("simple/", "3600"),
        ("simple/x/", "600"),
        ("a/b/simple/x/", "600"),
        # The upstream may be the index itself.
        ("", "3600"),
        ("x/", "600"),
        ("x/index.html", ""),
        ("pypi/x/json", "600"),
        ("packages/x-1.0.tar.gz", "immutable"),
        ("packages/x-1.0-py3-none-any.whl.metadata", "immutable"),
    ],
)
def test_how_long_answers_are_kept(path: str, how: str) -> None:
    assert kept(PYPI, path) == how


@pytest.mark.parametrize("path", ["simple/x/", "simple/x", "a/simple/x/index.html", "x/"])
def test_each_page_has_a_lifetime_of_its_own(path: str) -> None:
    """Without one it would be a share of the page's age, a week for old ones."""
    assert PYPI.document(path, "text/html") is not None
    assert kept(PYPI, path) == "600"
