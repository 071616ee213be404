"""The folder of bodies: whole ones under their sha256, growing ones under their flight's token."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pyproxycache.body import Body, FileSlice, Piece
from pyproxycache.errors import StoreError
from pyproxycache.net.closing import LARGE, close_file
from pyproxycache.net.descriptors import opened
from pyproxycache.store.bodies.intent import Intent
from pyproxycache.store.files.access_times import note_none_below
from pyproxycache.store.files.footprint import Disk
from pyproxycache.store.files.private import is_ours_alone, keep_private
from pyproxycache.store.files.writing import as_store_error, as_store_errors, write_all

_ST_BLOCK = 512
_DISCARDED = "discarded-"
# 256 folders: some thousand files in each where a million are stored, and all made soon.
_PREFIX = 2
_MOST_REMOVED = 64


class Blobs:
    """The folder of bodies: `blobs/ab/<sha256>` and `partial/<token>`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._blobs_text = f"{self._blobs}/"  # paths are made for each small body, and each that goes
        self._partial = root / "partial"
        self._intent: Intent | None = None
        self._removed: list[int] = []  # descriptors of large files without a name; changed in single steps

    def create_folders(self) -> None:
        """Make the folders; raises StoreError naming the path when that cannot be done."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if is_ours_alone(self.root):
                keep_private([self.root])
            self._blobs.mkdir(exist_ok=True, mode=0o700)
            self._partial.mkdir(exist_ok=True, mode=0o700)
            keep_private([self._blobs, self._partial])
            for folder in (self.root, self._blobs, self._partial):
                note_none_below(folder)
        except FileExistsError as error:
            raise StoreError(f"cannot use the cache folder {self.root}: it is not a folder") from error
        except OSError as error:
            raise as_store_error(f"cannot use the cache folder {self.root}", error) from error

    def discard(self) -> None:
        """Take all blobs out of use, because no index names them; raises StoreError."""
        with as_store_errors(self._blobs):
            if any(self._blobs.iterdir()):
                self._blobs.rename(self.root / f"{_DISCARDED}{secrets.token_hex(4)}")
                self._blobs.mkdir(mode=0o700)

    def remove_discarded(self) -> None:
        """Remove the blobs that `discard` took out of use, while others may do so too; raises OSError."""
        for item in list(_listed(self.root)):
            if item.name.startswith(_DISCARDED):
                shutil.rmtree(item, ignore_errors=True)

    def path(self, digest: str) -> Path:
        """Where the blob of this digest lies, if it has a file."""
        return self._blobs / digest[:_PREFIX] / digest

    def open(self, digest: str, size: int) -> int:
        """Open a blob of this size, and give the descriptor.

        Raises FileNotFoundError if it was just evicted, Damaged if it has another size.
        """
        fd = opened(lambda: os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC))
        found = os.fstat(fd).st_size
        if found != size:
            os.close(fd)
            raise Damaged(f"the blob {digest} has {found} bytes instead of {size}")
        return fd

    def keep(self, partial: Path, digest: str) -> None:
        """Make the partial file the blob of this digest, by a second name. Raises StoreError.

        It replaces a blob that is there already, which may be damaged.
        """
        path = self.path(digest)
        with as_store_errors(path):
            try:
                _link(partial, path)
            except FileExistsError:
                fresh = path.with_name(f"{partial.name}.new")
                os.link(partial, fresh)
                self._hold_if_large(path)
                fresh.replace(path)

    def write(self, digest: str, data: bytes) -> None:
        """Write the blob of this digest, with the index's write lock held. Raises StoreError.

        One that is there already is kept if it has these bytes, and replaced if it is damaged.
        """
        self.intent.note(digest)
        folder = f"{self._blobs_text}{digest[:_PREFIX]}"
        path = f"{folder}/{digest}"
        try:
            try:
                fd = _create(path, folder)
            except FileExistsError:
                if Path(path).read_bytes() == data:
                    return
                Path(path).unlink()  # damaged
                fd = _create(path, folder)
            try:
                write_all(fd, data, 0)
            finally:
                os.close(fd)
        except OSError as error:
            raise as_store_error(path, error) from error

    @property
    def intent(self) -> Intent:
        """The digests of the blobs that are being written; raises StoreError if its file cannot be used."""
        if self._intent is None:
            self._intent = Intent(self.root / "intent")
        return self._intent

    def remove(self, digest: str) -> None:
        """Remove the name of the blob's file; who reads it has it until he is done. Raises StoreError.

        The bytes of a large file are the disk's again after `free_removed`.
        """
        path = Path(f"{self._blobs_text}{digest[:_PREFIX]}/{digest}")
        self._hold_if_large(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise as_store_error(path, error) from error

    def _hold_if_large(self, path: Path) -> None:
        """Open a large file that is about to lose its name, so that its bytes stay until `free_removed`."""
        with contextlib.suppress(OSError):
            if path.stat().st_size >= LARGE and len(self._removed) < _MOST_REMOVED:
                self._removed.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def free_removed(self) -> None:
        """Give the disk the bytes of removed large files; it takes long, so no lock is to be held."""
        while self._removed:
            with contextlib.suppress(IndexError):  # another thread has just taken it
                os.close(self._removed.pop())

    def partial_path(self, token: str) -> Path:
        """Where the growing file of this name lies."""
        return self._partial / token

    def partial_tokens(self) -> Iterator[str]:
        """The names of all growing files on the disk; raises StoreError."""
        with as_store_errors(self._partial):
            yield from (item.name for item in _listed(self._partial))

    def digests(self) -> Iterator[tuple[str, int]]:
        """Digest and number of names of every blob on the disk; what else lies there is left alone."""
        for folder in _listed(self._blobs):
            for item in _listed(folder):
                if item.name[:_PREFIX] != folder.name or item.is_dir(follow_symlinks=False):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    yield item.name, item.stat(follow_symlinks=False).st_nlink

    def written(self, digest: str) -> float | None:
        """When the blob's last byte was written (epoch seconds); None where it is missing."""
        try:
            return self.path(digest).lstat().st_mtime
        except FileNotFoundError:
            return None

    def disk(self) -> Disk:
        """The disk of the cache; raises StoreError."""
        with as_store_errors(self.root):
            return Disk.of(self.root)

    def arriving(self) -> tuple[int, int]:
        """Bytes that the growing files take of the disk, and how many files they are; raises StoreError."""
        taken = files = 0
        with as_store_errors(self._partial):
            for item in _listed(self._partial):
                with contextlib.suppress(FileNotFoundError):
                    taken += item.stat().st_blocks * _ST_BLOCK
                    files += 1
        return taken, files

    def remove_all(self) -> None:
        """Remove the files of all blobs, with the index's write lock held: what names one finds it gone."""
        for digest, _names in self.digests():
            self.remove(digest)
            self.free_removed()


class Damaged(Exception):
    """A stored body has another size or other bytes than its row says."""


class BlobReader(Body):
    """One slice of a blob, whose descriptor is held until it has been sent."""

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self._fd = fd
        self._offset = start
        self._stop = stop

    def __next__(self) -> Piece:
        if self._offset >= self._stop:
            self.close()
            raise StopIteration
        piece = FileSlice(self._fd, self._offset, min(self._stop - self._offset, 1 << 30))
        self._offset += piece.count
        return piece

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        return next(self)

    def all(self, size: int) -> bytes:
        """All bytes of the blob, which has `size` of them."""
        return os.pread(self._fd, size, 0)

    def ready_piece(self) -> FileSlice:
        return FileSlice(self._fd, self._offset, self._stop - self._offset)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close_file(fd)

    def __del__(self) -> None:
        self.close()


def _listed(folder: Path | os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
    """What is in the folder; nothing where it is gone, for the next body makes it anew, or is none."""
    try:
        found = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with found:
        yield from found


def _link(existing: Path, new: Path) -> None:
    try:
        os.link(existing, new)
    except FileNotFoundError:
        new.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.link(existing, new)


def _create(path: str, folder: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, flags, 0o600)
