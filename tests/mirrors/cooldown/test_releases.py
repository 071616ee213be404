"""Documents read for their releases, and shown without some of them, in pieces of any size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from pyproxycache.mirrors.cooldown.admission import Admission
from pyproxycache.mirrors.cooldown.known import RELEASE_DOCUMENTS
from pyproxycache.mirrors.cooldown.release_documents import ReleaseDocument
from pyproxycache.mirrors.cooldown.release_rules import ReleaseRules
from pyproxycache.mirrors.cooldown.releases import ReleasedFile, Releases, ShownReleases, file_key
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystem import DocumentReading

PYTHON, JAVASCRIPT = RELEASE_DOCUMENTS["pypi"], RELEASE_DOCUMENTS["npm"]
JSON = "application/vnd.pypi.simple.v1+json"
BASE = "https://index.test/simple/x/"
READING = DocumentReading(BASE, str, lambda _file: False)
NOW = 1_800_000_000.0


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def document(ecosystem: str, media_type: str) -> ReleaseDocument:
    found = RELEASE_DOCUMENTS[ecosystem].document(media_type)
    assert found is not None
    return found


def page(*files: Any) -> bytes:
    return json.dumps({"name": "x", "files": files, "versions": ["1.0", "2.0", 7]}).encode()


@pytest.mark.parametrize("size", range(1, 10))
def test_a_page(size: int) -> None:
    text = page(
        {"url": "x-1.0.tar.gz#a", "upload-time": "2020-01-01T00:00:00Z"},
        {"url": "HTTPS://F.test/x-2.0-py3-none-any.whl", "upload-time": "2020-01-01T01:00:00+01:00"},
        {"url": "x-2.0.tar.gz", "upload-time": "2020-01-01T00:00:00"},
        {"url": "y-1.0.tar.gz", "upload-time": "what"},
        {"url": "x-3.0.zip", "upload-time": 5},
        7,
        {"url": None},
    )
    told = document("pypi", JSON)
    found = told.releases(pieces(text, size), READING, "x")
    assert found.files == (
        ReleasedFile(f"{BASE}x-1.0.tar.gz", "1.0", 1577836800.0),
        ReleasedFile("https://f.test/x-2.0-py3-none-any.whl", "2.0", 1577836800.0),
        ReleasedFile(f"{BASE}x-2.0.tar.gz", "2.0", 1577836800.0),
        ReleasedFile(f"{BASE}y-1.0.tar.gz", "", None),
        ReleasedFile(f"{BASE}x-3.0.zip", "3.0", None),
    )
    shown = ShownReleases("x", frozenset({f"{BASE}x-1.0.tar.gz"}), frozenset({"1"}))
    left = json.loads(b"".join(told.forms[-1].made(pieces(text, size), READING, shown)))
    assert [file["url"] for file in left["files"]] == ["x-1.0.tar.gz#a"]
    assert left["versions"] == ["1.0"]


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_page_in_html(size: int) -> None:
    text = b'<a href="x-1.0.zip#sha256=0">1</a> <a href="x-2.0.zip">2</a> <a>3</a>'
    told = document("pypi", "text/html")
    found = told.releases(pieces(text, size), READING, "x")
    assert [(file.version, file.released) for file in found.files] == [("1.0", None), ("2.0", None)]
    shown = ShownReleases("x", frozenset({f"{BASE}x-2.0.zip"}), frozenset({"2"}))
    left = b"".join(told.forms[-1].made(pieces(text, size), READING, shown))
    assert left.split() == b'<a href="x-2.0.zip">2</a>'.split()


@pytest.mark.parametrize(
    ("path", "packages"),
    [
        ("f/X.y_z-1.0-py3-none-any.whl", ("x-y-z",)),
        ("f/x-1.0-py3-none-any.whl.metadata", ("x",)),
        ("f/a-b-1.0.tar.gz", ("a-b",)),
        ("f/a-1.0-1.tar.gz", ("a", "a-1-0")),
        ("f/a-2-b-1.0.zip.asc", ("a-2-b",)),
        ("f/a.whl", ()),
        ("f/a-x-y.whl", ()),
        ("f/-1.0.zip", ()),
        ("f/..-1.0.zip", ()),
        ("f/x y-1.0.zip", ()),
        ("f/x\r\nHost: y-1.0.zip", ()),
        ("f/x?-1.0.zip", ()),
        ("f/x%2f-1.0-py3-none-any.whl", ()),
        ("x-1.0.txt", ()),
        ("x-1.0.tar.gz/", ()),
        ("x" * 1000 + "-1.0.zip", ()),
        ("f/1" + "-1" * 150 + ".zip", ("1" + "-1" * 148, "1" + "-1" * 149)),
    ],
)
def test_what_a_python_file_may_belong_to(path: str, packages: tuple[str, ...]) -> None:
    assert PYTHON.packages_of(path)[:2] == packages[:2]
    assert len(PYTHON.packages_of(path)) <= 3


@pytest.mark.parametrize(
    ("path", "package", "version"),
    [
        ("a/-/a-1.0.0.tgz", "a", "1.0.0"),
        ("@s/a/-/a-1.0.0-rc.1+b.tgz", "@s/a", "1.0.0-rc.1+b"),
        ("a/-/b-1.0.0.tgz", "a", ""),
        ("a/1.0.0", "a", "1.0.0"),
        ("@s/a/latest", "@s/a", "latest"),
        ("a/-/a/-/a-1.0.0.tgz", "", ""),
        ("a//-/a-1.0.0.tgz", "", ""),
        ("a%2f/-/a-1.0.0.tgz", "", ""),
        ("a\\-/a-1.0.0.tgz", "", ""),
        ("a/-/a-1.0.0.tgz/x", "", ""),
        ("é/-/é-1.0.0.tgz", "", ""),
        ("../-/..-1.0.0.tgz", "", ""),
        ("@../a/-/a-1.0.0.tgz", "", ""),
        ("a\n/-/a\n-1.0.0.tgz", "", ""),
        ("a/-/a-1.0.0.tgz\n", "", ""),
    ],
)
def test_what_a_javascript_archive_belongs_to(path: str, package: str, version: str) -> None:
    assert JAVASCRIPT.packages_of(path) == ((package,) if package else ())
    assert JAVASCRIPT.version_at(path, package) == version


def package(**parts: Any) -> bytes:
    versions = {
        number: {"name": "x", "dist": {"tarball": f"https://r.test/x/-/x-{number}.tgz"}, "scripts": {}}
        for number in ("1.0.0", "2.0.0")
    }
    versions["2.0.0"]["scripts"] = {"postinstall": "x"}
    return json.dumps(
        {
            "name": "x",
            "dist-tags": {"latest": "2.0.0", "odd": 5},
            "versions": {**versions, "3.0.0": 5},
            "time": {"modified": "m", "1.0.0": "2020-01-01", "2.0.0": "2020-01-02T00:00:00.000Z"},
            **parts,
        }
    ).encode()


@pytest.mark.parametrize("size", range(1, 10))
def test_a_package(size: int) -> None:
    told = document("npm", "application/json")
    found = told.releases(pieces(package(), size), READING, "x")
    assert found == Releases(
        "x",
        (
            ReleasedFile("https://r.test/x/-/x-1.0.0.tgz", "1.0.0", 1577836800.0),
            ReleasedFile("https://r.test/x/-/x-2.0.0.tgz", "2.0.0", 1577923200.0),
            ReleasedFile("", "3.0.0", None),
        ),
        (("latest", "2.0.0"),),
    )
    shown = ShownReleases("x", frozenset(), frozenset({"2.0.0"}), (("latest", "2.0.0"),))
    full = json.loads(b"".join(told.forms[0].made(pieces(package(), size), READING, shown)))
    assert (list(full["versions"]), list(full["time"]), full["dist-tags"]) == (
        ["2.0.0"],
        ["modified", "2.0.0"],
        {"latest": "2.0.0"},
    )
    assert json.loads(b"".join(told.forms[1].made(pieces(package(), size), READING, shown))) == {
        "name": "x",
        "versions": {
            "2.0.0": {"name": "x", "dist": full["versions"]["2.0.0"]["dist"], "hasInstallScript": True}
        },
        "dist-tags": {"latest": "2.0.0"},
        "modified": "m",
    }


def test_a_time_that_stands_twice_is_the_later_one() -> None:
    text = package()[:-1] + b', "time": {"1.0.0": "2019-01-01", "2.0.0": "2021-01-01"}}'
    found = document("npm", "application/json").releases([text], READING, "x")
    assert [file.released for file in found.files] == [1577836800.0, 1609459200.0, None]


@pytest.mark.parametrize(
    ("ecosystem", "media_type", "text"),
    [
        ("pypi", JSON, b'{"files": [{"url": tru}]}'),
        ("pypi", JSON, b"<html>"),
        ("npm", "application/json", b'{"versions": {"1.0.0": x}}'),
        (
            "npm",
            "application/json",
            b'{"dist-tags": {' + b",".join(b'"%d": "1"' % n for n in range(1001)) + b"}}",
        ),
        ("npm", "application/json", b'{"versions": {"a": "' + b"x" * (9 << 20)),
    ],
)
def test_what_is_no_document(ecosystem: str, media_type: str, text: bytes) -> None:
    with pytest.raises(DocumentError):
        document(ecosystem, media_type).releases(pieces(text, 1 << 16), READING, "x")


class Anchors(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attributes))


def test_html_tells_what_json_does() -> None:
    text = page(
        {
            "url": 'https://f.test/x-1.0.zip?a="<b>',
            "filename": "<x>",
            "hashes": {"sha256": "00", "md5": "1"},
            "requires-python": ">=3",
            "yanked": "why & how",
            "core-metadata": {"sha256": "11"},
        },
        {"url": "x-2.0.zip", "yanked": True, "core-metadata": False, "hashes": 5},
    )
    told = document("pypi", JSON)
    files = frozenset(file.key for file in told.releases([text], READING, "x").files)
    made = told.forms[0].made(pieces(text, 3), READING, ShownReleases("<x>", files, frozenset()))
    shown = b"".join(made).decode()
    assert "<x>" not in shown
    assert Anchors(shown).found == [
        {
            "href": 'https://f.test/x-1.0.zip?a="<b>#sha256=00',
            "data-requires-python": ">=3",
            "data-yanked": "why & how",
            "data-core-metadata": "sha256=11",
            "data-dist-info-metadata": "sha256=11",
        },
        {"href": "x-2.0.zip", "data-yanked": ""},
    ]


def rules(**options: Any) -> ReleaseRules:
    return ReleaseRules(Admission("js", JAVASCRIPT.naming, **options), JAVASCRIPT)


def never(_package: str, _version: str) -> bool:
    return False


def test_tags_name_only_what_is_shown() -> None:
    files = [
        ReleasedFile(f"u:{version}", version, NOW - age)
        for version, age in (("1.0.0", 100.0), ("1.5.0", 100.0), ("2.0.0", 1.0), ("3.0.0", 100.0))
    ]
    tags = (("latest", "2.0.0"), ("next", "2.0.0"), ("old", "1.0.0"), ("lost", "9.0.0"))
    shown = rules(min_age=10.0).shown(Releases("x", tuple(files), tags), NOW, never)
    assert shown.tags == (("latest", "1.5.0"), ("old", "1.0.0"))
    later = rules(min_age=10.0).shown(Releases("x", tuple(files), tags), NOW + 10, never)
    assert dict(later.tags) == {"latest": "2.0.0", "next": "2.0.0", "old": "1.0.0"}
    assert later.state != shown.state


def test_a_file_that_stands_twice_has_to_be_let_through_both_times() -> None:
    old, new = ReleasedFile("k", "1.0.0", 1e9), ReleasedFile("k", "2.0.0", NOW)
    found = rules(min_age=10.0)
    assert found.file_refusal(Releases("x", (old,)), "k", "", NOW, never) is None
    assert found.file_refusal(Releases("x", (old, new)), "k", "", NOW, never)
    assert found.file_refusal(Releases("x", (old,)), "other", "", NOW, never) == ""
    assert found.file_refusal(Releases("x", (old,)), "other", "1.0.0", NOW, never) is None


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("HTTPS://F.Test:443/a#b", "https://f.test/a"),
        ("https://f.test/é", "https://f.test/%C3%A9"),
        ("ftp://f.test/a", ""),
        ("https://", ""),
        ("x", ""),
    ],
)
def test_keys_of_files(url: str, key: str) -> None:
    assert file_key(url) == key


@pytest.mark.parametrize(("ecosystem", "form"), [("npm", 0), ("npm", 1), ("pypi", 0), ("pypi", -1)])
def test_forms_are_made_as_bytes_arrive(ecosystem: str, form: int) -> None:
    """In small pieces, as what reads them next takes time by the square of a piece's size."""
    if ecosystem == "npm":
        media_type, count = "application/json", 2000
        versions = {
            f"1.0.{n}": {"dist": {"tarball": "u"}, "scripts": {"a": "b" * 500}} for n in range(count)
        }
        text = json.dumps({"versions": versions, "time": {}}).encode()
        shown = ShownReleases("x", frozenset(), frozenset(versions))
    else:
        media_type, count = JSON, 2000
        files = [{"url": f"https://f.test/x-{n}.zip", "hashes": {}} for n in range(count)]
        text = json.dumps({"files": files}).encode()
        shown = ShownReleases("x", frozenset(str(file["url"]) for file in files), frozenset())
    made = list(document(ecosystem, media_type).forms[form].made(pieces(text, 1 << 16), READING, shown))
    assert max(map(len, made)) <= 1 << 16
    assert sum(one.count(b"1.0.") + one.count(b"/x-") for one in made) >= count
