"""Requirements with versions and hashes, as pip-compile and `uv pip compile` write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from pyproxycache.mirrors.digest_texts import digest_of
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList, is_web
from pyproxycache.mirrors.python_names import python_name

_HASH = re.compile(r"\s--hash[=\s]+(\S+)")
_NAME = r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*"
_PINNED = re.compile(_NAME + r"={2,3}\s*([^\s;,*]+)\s*(?:;.*)?")
_DIRECT = re.compile(_NAME + r"@\s*(\S+)\s*(?:;.*)?")
_OF_OTHERS = re.compile(r"(-r|-c|--requirement|--constraint)(?:[=\s]|$)")


def read_requirements(text: str) -> LockList:
    """What a file of requirements names; raises LockFileError with the line of what is not pinned."""
    gathering = Gathering()
    for number, line in _logical_lines(text):
        if others := _OF_OTHERS.match(line):
            raise LockFileError(f"{others[1]} is not followed: name that file, too", number)
        if line.startswith("-") and not re.match(r"(?:-e|--editable)[=\s]", line):
            continue
        hashes = tuple(found for one in _HASH.findall(line) for found in digest_of(one, "--hash"))
        # With single blanks, so that no pattern tries many ways to share them out.
        bare = " ".join(re.split(r"\s--[a-z]", line, maxsplit=1)[0].split())
        if pinned := _PINNED.fullmatch(bare):
            gathering.add(Locked("pypi", python_name(pinned[1]), pinned[2], digests=hashes))
        elif (direct := _DIRECT.fullmatch(bare)) and is_web(direct[2]):
            url, _, fragment = direct[2].partition("#")
            digests = hashes or tuple(
                d for part in fragment.split("&") for d in digest_of(part, "fragment")
            )
            file = unquote(urlsplit(url).path.rpartition("/")[2])
            gathering.add(Locked("pypi", python_name(direct[1]), "", url, file, digests))
        elif direct or re.match(r"(?:-e|--editable|\.|/|file:|git\+)", bare):
            gathering.leave_out(bare[:200], "not a file of an index")
        else:
            raise LockFileError(f"{bare[:100]!r} is not pinned: write name==version", number)
    return gathering.result()


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines without comments, with their numbers; those that end with a backslash are joined."""
    pieces: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if pieces else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            pieces.append(line[:-1])
            continue
        pieces.append(_without_comment(line))
        joined = " ".join(pieces).strip()
        pieces = []
        if joined:
            yield first, joined
    if joined := " ".join(pieces).strip():
        yield first, joined


def _without_comment(line: str) -> str:
    """The line up to a # that begins it or follows a blank."""
    place = line.find("#")
    while place > 0 and not line[place - 1].isspace():
        place = line.find("#", place + 1)
    return line if place < 0 else line[:place]
