"""What crates, Go modules and conda packages tell of their releases, in pieces of any size."""

from __future__ import annotations

import bz2
import gzip
import json
import tracemalloc
from collections.abc import Iterator

import pytest

from pyproxycache.mirrors.cooldown.by_ecosystem import conda_releases, go_releases
from pyproxycache.mirrors.cooldown.known import RELEASE_DOCUMENTS
from pyproxycache.mirrors.cooldown.releases import ReleasedFile, ShownReleases
from pyproxycache.mirrors.cooldown.stamped_files import StampedFiles
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystem import DocumentReading

RUST = RELEASE_DOCUMENTS["cargo"]
CONFIG = json.dumps({"dl": "https://f.test/{crate}/{crate}-{version}.crate"}).encode()
SUM = "ab" * 32


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def reading(key: bytes = CONFIG) -> DocumentReading:
    return DocumentReading("https://i.test/ti/ny/tiny", str, lambda _file: False, key)


def line(version: str, **more: object) -> bytes:
    return json.dumps({"name": "Tiny", "vers": version, "cksum": SUM, **more}).encode() + b"\n"


INDEX = (
    line("1.0.0", pubtime="2020-01-01T00:00:00Z")
    + line("1.1.0+b", pubtime="soon")
    + b"what is this\n"
    + line("2.0.0")
    + json.dumps({"name": "other", "vers": "1.0.0", "cksum": SUM}).encode()
)


@pytest.mark.parametrize("size", [*range(1, 12), 10_000])
def test_a_crates_file(size: int) -> None:
    told = RUST.document("text/plain")
    assert told is not None
    found = told.releases(pieces(INDEX, size), reading(), "tiny")
    assert found.files == (
        ReleasedFile("https://f.test/Tiny/Tiny-1.0.0.crate", "1.0.0", 1577836800.0),
        ReleasedFile("https://f.test/Tiny/Tiny-1.1.0+b.crate", "1.1.0+b", None),
        ReleasedFile("https://f.test/Tiny/Tiny-2.0.0.crate", "2.0.0", None),
    )
    shown = ShownReleases("tiny", frozenset({found.files[0].key}), frozenset({"1.0.0"}))
    assert (
        b"".join(told.forms[0].made(pieces(INDEX, size), reading(), shown))
        == INDEX[: INDEX.find(b"\n") + 1]
    )


@pytest.mark.parametrize("config", [b"", b"{}", b'{"dl": 5}', b"x"])
def test_without_the_place_of_crates_nothing_is_told(config: bytes) -> None:
    told = RUST.document("")
    assert told is not None
    with pytest.raises(DocumentError):
        told.releases([INDEX], reading(config), "tiny")


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("ti/ny/tiny", "tiny"),
        ("3/l/low", "low"),
        ("2/ab", "ab"),
        ("1/a", "a"),
        ("ti/ny/tinY", ""),
        ("Ti/ny/tiny", ""),
        ("lo/ng/tiny", ""),
        ("config.json", ""),
        ("ti/ny/tiny/", ""),
        ("3/x/low", ""),
        ("", ""),
    ],
)
def test_where_a_crates_file_is(path: str, package: str) -> None:
    assert RUST.package_at(path) == package
    assert not package or RUST.paths_of(package.upper(), "") == (path,)


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("crates/tiny/tiny-1.0.0.crate", "tiny"),
        ("crates/tiny/1.0.0/download", "tiny"),
        ("a-1/a-1-2.0.0-rc.1+b.crate", "a-1"),
        ("ti/ny/tiny/1.0.0", "tiny"),
        ("api/v1/crates/tiny/1.0.0/download", "tiny"),
        ("tiny-1.0.0.crate/x", ""),
        ("tiny-1.0.crate", ""),
        ("tiny/1.0.0/download/", ""),
        (SUM, ""),
    ],
)
def test_what_a_crate_belongs_to(path: str, package: str) -> None:
    assert RUST.packages_of(path) == ((package,) if package else ())


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("a.test/b/@v/list", ("a.test/b", "a.test/b", "", "list")),
        ("a.test/b/@latest", ("a.test/b", "a.test/b", "", "latest")),
        ("a.test/%21b/@v/v1.0.0.zip", ("a.test/%21b", "a.test/B", "v1.0.0", "zip")),
        ("a.test/!b/@v/v1.0.0-%21rc.info", ("a.test/!b", "a.test/B", "v1.0.0-Rc", "info")),
        ("a.test//b/@v/v1.0.0.mod", ("a.test//b", "a.test/b", "v1.0.0", "mod")),
        ("a%2Fb%2F@v%2Fv1.0.0.mod", ("a/b", "a/b", "v1.0.0", "mod")),
        ("a%40/%40v/li%73t", ("a%40", "a@", "", "list")),
        ("a/@v/@v/list", ("a/@v", "a/@v", "", "list")),
        ("a/@v/main.info", ("a", "a", "main", "info")),
        ("a/@v/v1.0.0.exe", None),
        ("@v/list", None),
        ("a/@v/list/", None),
        ("sumdb/s/lookup/a@v1.0.0", None),
    ],
)
def test_what_a_path_of_a_module_proxy_is_about(path: str, told: tuple[str, ...] | None) -> None:
    found = go_releases.address_of(path)
    assert (found and (found.place, found.module, found.version, found.asks)) == told


def test_the_file_about_a_version_is_asked_for_as_go_does() -> None:
    found = go_releases.address_of("a/%21b/@v/v1.0.0.zip")
    assert found is not None
    assert found.info_of("v1.0.0-Rc+incompatible") == "a/%21b/@v/v1.0.0-%21rc+incompatible.info"
    assert found.list == "a/%21b/@v/list"


def test_versions_of_a_list() -> None:
    lines = ["v1.0.0", "v1.10.0", "v1.2.0 ", "v1.2.10", "v1.2.9 x", "v1.2.10-rc.1", "v2.0.0+incompatible"]
    lines += ["main", "v1", "é", "", "1.0.0"]
    assert go_releases.minor_versions(lines) == [
        ["v1.0.0"],
        ["v1.10.0"],
        ["v1.2.10", "v1.2.10-rc.1", "v1.2.9", "v1.2.0"],
        ["v2.0.0+incompatible"],
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"Version": "v1.0.0", "Time": "2020-01-01T00:00:00Z"}', ("v1.0.0", 1577836800.0)),
        (b'{"Version": "v1.0.0", "Time": null}', ("v1.0.0", None)),
        (b'{"Version": "v1.0.0", "Time": "now"}', ("v1.0.0", None)),
        (b'{"Time": "2020-01-01T00:00:00Z"}', None),
        (b"[]", None),
        (b"<html>", None),
    ],
)
def test_what_a_version_tells(content: bytes, told: tuple[str, float | None] | None) -> None:
    found = go_releases.told_by(content)
    assert (found and (found.version, found.released)) == told


def record(name: str, version: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": version, "sha256": SUM, "depends": ['x {y} [z], \\"'], **more}


REPODATA = {
    "info": {"subdir": "noarch"},
    "packages": {
        "tiny-1.0-0.tar.bz2": record("tiny", "1.0", timestamp=1_577_836_800_000),
        "a-b-2.0-h_1.tar.bz2": record("a-b", "2.0", timestamp=1_577_836_800),
        "other-1.0-0.tar.bz2": record("tiny", "1.0", timestamp=1_577_836_800),
    },
    "packages.conda": {
        "tiny-2.0-0.conda": record("tiny", "2.0", timestamp=None),
        "tiny-3.0-0.conda": record("tiny", "3.0", timestamp=True),
        "tiny-4.0-0.conda": 5,
        "tiny.conda": record("tiny", ""),
    },
    "removed": ["tiny-0.1-0.conda"],
}
TIMES = {
    "tiny-1.0-0.tar.bz2": 1577836800.0,
    "a-b-2.0-h_1.tar.bz2": 1577836800.0,
    "tiny-2.0-0.conda": None,
    "tiny-3.0-0.conda": None,
}


def packed(content: bytes, ending: str) -> bytes:
    if ending == ".zst":
        library = pytest.importorskip("backports.zstd")
        made: bytes = library.compress(content)
        return made
    return {"": bytes, ".bz2": bz2.compress, ".gz": gzip.compress}[ending](content)


def unpacked(content: bytes, ending: str) -> bytes:
    if ending == ".zst":
        made: bytes = pytest.importorskip("backports.zstd").decompress(content)
        return made
    return {"": bytes, ".bz2": bz2.decompress, ".gz": gzip.decompress}[ending](content)


ENDINGS = pytest.mark.parametrize("ending", ["", ".zst", ".bz2", ".gz"])


@ENDINGS
@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_an_index_of_conda_packages(ending: str, size: int) -> None:
    content = packed(json.dumps(REPODATA).encode(), ending)
    times: dict[str, float | None] = {}
    conda_releases.read_times(pieces(content, size), times.__setitem__)
    assert times == TIMES

    def is_given(package: str, version: str, released: float | None) -> bool:
        return released is not None and (package, version) != ("a-b", "2.0")

    left = b"".join(conda_releases.without_releases(pieces(content, size), f"x{ending}", is_given))
    shown = json.loads(unpacked(left, ending))
    assert shown == {
        "info": REPODATA["info"],
        "packages": {"tiny-1.0-0.tar.bz2": record("tiny", "1.0", timestamp=1_577_836_800_000)},
        "packages.conda": {},
        "removed": REPODATA["removed"],
    }


@pytest.mark.parametrize("stamp", ["1" + 400 * "0", "-1" + 400 * "0", "1e308", "1e999"])
def test_a_time_that_no_number_can_hold_is_none_that_can_be_believed(stamp: str) -> None:
    """And costs the other packages of the index nothing."""
    told = f'{{"name": "b", "version": "1", "timestamp": {stamp}}}'
    content = f'{{"packages": {{"b-1-0.conda": {told}, "a-1-0.conda": {{"name": "a", "version": "1"}}}}}}'
    files = StampedFiles(b"s")
    conda_releases.read_times([content.encode()], files.add)
    files.seal()
    assert files.has("a-1-0.conda")
    assert files.released("b-1-0.conda") is None
    given: list[str] = []
    for _ in conda_releases.without_releases(
        [content.encode()], "x.json", lambda name, *_: bool(given.append(name))
    ):
        pass
    assert "a" in given


@ENDINGS
def test_an_index_that_ends_too_early(ending: str) -> None:
    content = packed(json.dumps(REPODATA).encode() * 1, ending)[:-20]
    with pytest.raises(DocumentError):
        b"".join(conda_releases.without_releases([content], f"x{ending}", lambda *_told: True))
    with pytest.raises(DocumentError):
        conda_releases.read_times([content], lambda _name, _time: None)


@ENDINGS
def test_a_large_index_takes_little_memory(ending: str) -> None:
    """What is shown of it, and what is remembered of it, takes a part of its 3 MB."""
    text = json.dumps(
        {"packages": {f"p-{n}-0.conda": record("p", str(n), timestamp=n) for n in range(2000)}}
    )
    item = text[len('{"packages": {') : -2].encode()
    count = (3 << 20) // len(item)

    def content() -> Iterator[bytes]:
        yield b'{"packages": {'
        for number in range(count):
            yield (b", " if number else b"") + item
        yield b"}}"

    if ending:
        small = packed(b"".join(content()), ending)
        source = lambda: pieces(small, 64 << 10)  # noqa: E731
    else:
        source = content
    tracemalloc.start()
    try:
        size = sum(map(len, conda_releases.without_releases(source(), f"x{ending}", lambda *_told: True)))
        files = StampedFiles(b"s")
        conda_releases.read_times(source(), files.add)
        files.seal()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > (1000 if ending else 2 << 20)
    assert len(files) == 2000 * count
    assert peak < (2 << 20) + (8 << 20) * (ending == ".bz2")


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("tiny-1.0-0.conda", ("tiny", "1.0")),
        ("a-b-2.0-h_1.tar.bz2", ("a-b", "2.0")),
        ("_mutex-1-0.conda", ("_mutex", "1")),
        ("tiny-1.0.conda", None),
        ("repodata.json", None),
        ("x/tiny-1.0-0.conda", None),
    ],
)
def test_what_a_conda_packages_name_tells(name: str, release: tuple[str, str] | None) -> None:
    assert conda_releases.release_of(name) == release


def test_files_with_their_times() -> None:
    files = StampedFiles(b"secret")
    for number in range(3000):
        files.add(f"p-{number}", 1e9 + number * 60)
    told = (
        ("twice", 1e9),
        ("twice", 2e9),
        ("none", None),
        ("old", 5.0),
        ("late", 1e300),
        ("part", 1e9 + 1),
    )
    for name, released in told:
        files.add(name, released)
    files.seal()
    assert all(0 <= (files.released(f"p-{n}") or 0) - (1e9 + n * 60) < 60 for n in range(3000))
    assert (files.has("other"), files.has("none"), files.released("other")) == (False, True, None)
    assert [files.released(name) for name in ("none", "old", "late")] == [None, None, None]
    assert 0 <= (files.released("twice") or 0) - 2e9 < 60
    assert len(files) == 3006
