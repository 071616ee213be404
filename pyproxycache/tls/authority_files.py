"""The folder of a certificate authority: its key, which is its user's alone, and its certificate."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pyproxycache.errors import ConfigError

KEY = "ca.key"
CERTIFICATE = "ca.pem"

_WRITABLE_BY_OTHERS = 0o022
_MOST = 1 << 20
"""Bytes of a file: more is no key, and no certificate."""


class AuthorityFiles(NamedTuple):
    """The contents of the folder's files, in PEM."""

    key: bytes
    certificate: bytes


def write_authority(folder: Path, files: AuthorityFiles) -> None:
    """Make the folder with these files, all at once; raises ConfigError where there is something already.

    Both are its user's alone from the first byte. What root makes gets the owner of the folder around it.
    """
    target = Path(os.path.realpath(folder))
    try:
        owner = _make_parents(target)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            # By the descriptor: the user who gets it owns the folder around it, and might put a link there.
            with _opened(made) as fd:
                _write(fd, KEY, files.key, owner)
                _write(fd, CERTIFICATE, files.certificate, owner)
                _give(fd, owner)
                os.fsync(fd)
            # Onto nothing, or an empty folder: whoever comes second is refused.
            made.rename(target)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        with _opened(target.parent) as fd:
            os.fsync(fd)
    except OSError as error:
        raise ConfigError(_why_not_made(folder, error)) from error


def read_authority(folder: Path) -> AuthorityFiles:
    """Read both files; raises ConfigError if one is missing, or if another user can read the key."""
    certificate, key = folder / CERTIFICATE, folder / KEY
    if _is_missing(certificate) and _is_missing(key):
        raise ConfigError(
            f"there is no certificate authority in {folder}: make one with "
            f"`pyproxycache ca init --folder {folder}`"
        )
    _check_folder(folder)
    return AuthorityFiles(_read(key, is_secret=True), _read(certificate))


def _make_parents(target: Path) -> os.stat_result:
    """Make the folders that the target is to be in; gives whose the target has to be."""
    missing = []
    there = target
    while not there.exists():
        missing.append(there)
        there = there.parent
    owner = there.stat()
    for path in reversed(missing[1:]):
        path.mkdir(0o700)
        with _opened(path) as fd:
            _give(fd, owner)
    return owner


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder, which is no link."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _write(folder: int, name: str, content: bytes, owner: os.stat_result) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(fd, "wb") as file:
        _give(fd, owner)
        file.write(content)
        file.flush()
        os.fsync(fd)


def _give(fd: int, owner: os.stat_result) -> None:
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _why_not_made(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        if _is_missing(folder / CERTIFICATE) and _is_missing(folder / KEY):
            return f"{folder}: there are other files: name a folder that is empty, or does not exist"
        return (
            f"{folder}: there is a certificate authority already, which is never replaced: "
            "its clients would refuse another one; for a new one, move the folder away"
        )
    if error.errno == errno.EBUSY:
        return f"{folder} is a mount point: name a folder in it"
    return f"{folder} cannot be made: {error.strerror}: it has to be where this user can write"


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _check_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        mode = folder.stat().st_mode
        if mode & _WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX:
            raise ConfigError(
                f"{folder} can be written by others (mode {stat.S_IMODE(mode):o}), who could put "
                f"an authority of theirs there: chmod 700 {folder}"
            )


def _read(path: Path, is_secret: bool = False) -> bytes:
    try:
        # Without waiting, as for a FIFO that nobody writes.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            if is_secret:
                _check_private(path, os.fstat(file.fileno()))
            content = file.read(_MOST) or b""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}{_for_whom(path)}") from error
    return content


def _check_private(path: Path, found: os.stat_result) -> None:
    """Raise ConfigError if others can read the key; as ssh does, and its owner is checked, too."""
    us, owner, mode = os.geteuid(), found.st_uid, stat.S_IMODE(found.st_mode)
    # Root may have given it to our group, by which alone we can read what is not ours.
    accepted = 0o700 if owner == us else 0o740
    if mode & ~accepted:
        raise ConfigError(
            f"{path} is open to others (mode {mode:o}), who could read the key: chmod 600 {path}"
        )
    if us != 0 and owner not in (us, 0):
        raise ConfigError(
            f"{path} belongs to {_user(owner)}, who could read the key: have it belong to {_user(us)}, "
            "which runs this, or to root"
        )


def _for_whom(path: Path) -> str:
    """A hint at whose file it is, unless it is ours."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            owner = place.stat().st_uid
            return "" if owner == os.geteuid() else f"; it is for {_user(owner)}"
    return ""


def _user(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user {number}"
