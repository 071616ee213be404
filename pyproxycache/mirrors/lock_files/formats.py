"""Which format a lock file has, by its name, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable

from pyproxycache.mirrors.lock_files.cargo_lock import read_cargo
from pyproxycache.mirrors.lock_files.deb_list import read_debs
from pyproxycache.mirrors.lock_files.dockerfile import read_dockerfile
from pyproxycache.mirrors.lock_files.go_sum import read_go_sum
from pyproxycache.mirrors.lock_files.locked import LARGEST, LockFileError, LockList
from pyproxycache.mirrors.lock_files.npm_locks import read_npm
from pyproxycache.mirrors.lock_files.pnpm_lock import read_pnpm
from pyproxycache.mirrors.lock_files.python_locks import read_poetry, read_pylock, read_uv
from pyproxycache.mirrors.lock_files.requirements import read_requirements
from pyproxycache.mirrors.lock_files.yarn_lock import read_yarn

FORMATS: dict[str, Callable[[str], LockList]] = {
    "requirements": read_requirements,
    "uv": read_uv,
    "poetry": read_poetry,
    "pylock": read_pylock,
    "npm": read_npm,
    "pnpm": read_pnpm,
    "yarn": read_yarn,
    "cargo": read_cargo,
    "go": read_go_sum,
    "deb": read_debs,
    "dockerfile": read_dockerfile,
}
"""How each format is read; the names are those that a user may give."""

_NAMES = (
    (r"uv\.lock", "uv"),
    (r"poetry\.lock", "poetry"),
    (r"pylock(?:\.[^.]+)?\.toml", "pylock"),
    (r"(?:package-lock|npm-shrinkwrap)\.json", "npm"),
    (r"pnpm-lock\.yaml", "pnpm"),
    (r"yarn\.lock", "yarn"),
    (r"cargo\.lock", "cargo"),
    (r"go(?:\.work)?\.sum", "go"),
    (r"(?:docker|container)file(?:\..*)?|.*\.(?:docker|container)file", "dockerfile"),
    (r".*\.uris", "deb"),
    (r".*\.txt", "requirements"),
)
_FIRST = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*('?https?://)")


def format_of(name: str, text: str) -> str:
    """The format of the file with this name (without folders); raises LockFileError if it tells none."""
    for pattern, found in _NAMES:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return "deb" if found == "requirements" and _FIRST.match(text) else found
    raise LockFileError(f"its name tells no format: say which it has by --format, of {', '.join(FORMATS)}")


def read_lock_file(content: bytes, name: str, format: str | None = None) -> LockList:
    """What a lock file names; `format` is one of FORMATS, None: by the file's name.

    Raises LockFileError, which tells the line or what is wrong.
    """
    if len(content) > LARGEST:
        raise LockFileError(f"it is larger than {LARGEST >> 20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LockFileError(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    return FORMATS[format or format_of(name, text)](text)
