"""Conda packages: for each platform an index of all packages, or one of shards, each for one name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urljoin

import msgspec

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.document_readers import passed_on
from pyproxycache.mirrors.documents.json_items import ItemReader, JsonItem
from pyproxycache.mirrors.documents.packed import packed_by_zstd
from pyproxycache.mirrors.documents.unpacked import Unpacked
from pyproxycache.mirrors.ecosystem import (
    ANY_TYPE,
    IMMUTABLE,
    PASSED,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    index,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.relative_names import as_path, folder_of, is_relative
from pyproxycache.mirrors.stated_digests import stated_digests

_FIELD = "repodata"
_PACKAGES = ("packages", "packages.conda")
# Of a shard, and of the index of shards, which has 32 bytes and a name for each. Values take up to 70 times
# their bytes in memory, so those that are not needed are not made.
_LONGEST_SHARD = 16 << 20
_LONGEST_INDEX = 8 << 20
_LONGEST_INFO = 64 << 10
_LONGEST_VALUE = 512
_SHARD = re.compile(r"(?P<folder>.*/)shards/[0-9a-f]{64}\.msgpack\.zst")


class _Record(msgspec.Struct):
    """What an index says of one package; a shard has digests as bytes."""

    sha256: Any = None
    md5: Any = None
    name: Any = ""
    version: Any = ""


class _ShardRecord(msgspec.Struct):
    """The same in a shard, as it stands there."""

    sha256: msgspec.Raw = msgspec.Raw()
    md5: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()
    version: msgspec.Raw = msgspec.Raw()

    def values(self) -> _Record:
        """What it says, as far as that is short; raises DocumentError."""
        return _Record(*map(_short, (self.sha256, self.md5, self.name, self.version)))


class _Shard(msgspec.Struct):
    """The packages of one name."""

    packages: dict[str, _ShardRecord] = {}
    conda: dict[str, _ShardRecord] = msgspec.field(default={}, name="packages.conda")


class _WholeDocument:
    """Takes a document of at most so many bytes, and gives all of it to `take` at its end."""

    def __init__(self, longest: int, take: Callable[[bytes], None]) -> None:
        self._longest = longest
        self._take = take
        self._content = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes; raises DocumentError."""
        self._content += data
        if len(self._content) > self._longest:
            raise DocumentError(f"it is longer than {self._longest >> 20} MB")

    def finish(self) -> None:
        """Take note that the document has ended; raises DocumentError."""
        self._take(bytes(self._content))


_decode = msgspec.json.Decoder(_Record).decode


def _read_repodata(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    """Reads all packages of a platform; what is said before them of where they are counts."""
    folder = folder_of(reading.url)

    def note(item: JsonItem) -> None:
        nonlocal folder
        if item.path == ("info",):
            base = item.value() if item.key == "base_url" else None
            folder = _folder(reading.url, base) if isinstance(base, str) else folder
            return
        try:
            record = _decode(item.text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return
        _note(reading, folder, item.key or "", record)

    paths = (("info",), *((name,) for name in _PACKAGES))
    return passed_on(pieces, Unpacked(ItemReader(paths, note)))


def _read_shard(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    """Reads the packages of one name, which are beside the folder of shards."""
    found = _SHARD.fullmatch(reading.url.partition("?")[0])
    if found is None:
        return iter(pieces)
    folder = found["folder"]

    def take(content: bytes) -> None:
        shard = _unpacked(content, _Shard)
        for name, record in (shard.packages | shard.conda).items():
            _note(reading, folder, name, record.values())

    return passed_on(pieces, Unpacked(_WholeDocument(_LONGEST_SHARD, take)))


def _read_index(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    """Reads the index of shards, whose absolute addresses lead elsewhere."""
    shown: list[bytes] = []

    def take(content: bytes) -> None:
        shown.append(_shown_index(content, reading))

    reader = Unpacked(_WholeDocument(_LONGEST_INDEX, take))
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    yield from shown


def _shown_index(content: bytes, reading: DocumentReading) -> bytes:
    found = _unpacked(content, dict[str, msgspec.Raw])
    about, named_shards = found.get("info"), found.get("shards")
    if about is None or named_shards is None or len(bytes(about)) > _LONGEST_INFO:
        raise DocumentError("it is no index of shards")
    info = _unpacked(bytes(about), dict[str, Any])
    shards = _unpacked(bytes(named_shards), dict[str, bytes])
    folder = _folder(reading.url, info.get("shards_base_url"))
    for name, digest in shards.items():
        if len(digest) == 32:
            url = f"{folder}{digest.hex()}.msgpack.zst"
            named = NamedFile(url, stated_digests(_FIELD, [("sha256", digest.hex())]), name)
            reading.is_shown(named)
    for name in ("base_url", "shards_base_url"):
        if isinstance(info.get(name), str) and "//" in info[name]:
            info[name] = reading.link(_folder(reading.url, info[name]))
    return packed_by_zstd(msgspec.msgpack.encode({**found, "info": info}))


def _folder(url: str, base: Any) -> str:
    """The folder that a document means by a base; raises DocumentError."""
    try:
        joined = urljoin(folder_of(url), base) if isinstance(base, str) else folder_of(url)
    except ValueError as error:
        raise DocumentError(f"it has an address that is none: {error}") from None
    return joined if joined.endswith("/") else f"{joined}/"


def _unpacked(content: bytes, kind: Any) -> Any:
    """The values of a MessagePack document; raises DocumentError."""
    try:
        return msgspec.msgpack.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise DocumentError(f"it is no MessagePack of its kind: {error}") from None


def _short(raw: msgspec.Raw) -> Any:
    """The value; None if there is none, or it is longer than all that is needed. Raises DocumentError."""
    content = bytes(raw)
    return _unpacked(content, Any) if 0 < len(content) <= _LONGEST_VALUE else None


def _note(reading: DocumentReading, folder: str, name: str, record: _Record) -> None:
    if "/" in name or not is_relative(name):
        return
    stated = [("sha256", _hex(record.sha256)), ("md5", _hex(record.md5))]
    package, version = (one if isinstance(one, str) else "" for one in (record.name, record.version))
    digests = stated_digests(_FIELD, stated)
    reading.is_shown(NamedFile(f"{folder}{as_path(name)}", digests, package, version))


def _hex(digest: Any) -> str:
    if isinstance(digest, bytes):
        return digest.hex()
    return digest if isinstance(digest, str) else ""


_SHARD_FILE = re.compile(r"(?:.*/)?[0-9a-f]{64}\.msgpack\.zst$")

CONDA = Ecosystem(
    "conda",
    rules=(
        PathRule(_SHARD_FILE, IMMUTABLE),
        PathRule(re.compile(r"(?:.*/)?[^/]+\.(?:conda|tar\.bz2)$"), IMMUTABLE),
        # Lines are added to it, and clients ask for those that they lack.
        PathRule(re.compile(r"(?:.*/)?[^/]+\.jlap$"), PASSED),
        PathRule(re.compile(r"(?:.*/)?repodata_shards\.msgpack\.zst$"), index(300)),
        PathRule(re.compile(r"(?:.*/)?[^/]+\.json(?:\.zst|\.bz2|\.gz)?$"), index(300)),
    ),
    documents=(
        Document(re.compile(r"(?:.*/)?repodata_shards\.msgpack\.zst$"), ANY_TYPE, _read_index),
        Document(
            re.compile(r"(?:.*/)?[0-9a-f]{64}\.msgpack\.zst$"), ANY_TYPE, _read_shard, has_links=False
        ),
        Document(
            re.compile(r"(?:.*/)?(?:current_)?repodata\.json(?:\.zst|\.bz2|\.gz)?$"),
            ANY_TYPE,
            _read_repodata,
            has_links=False,
        ),
    ),
)
