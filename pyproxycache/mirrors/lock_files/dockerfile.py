"""The images that a Dockerfile begins with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyproxycache.mirrors.digest_texts import digest_of
from pyproxycache.mirrors.lock_files.locked import Gathering, Locked, LockFileError, LockList

_ARG = re.compile(r"ARG\s+(\w+)=(?:\"([^\"]*)\"|'([^']*)'|(\S*))", re.IGNORECASE)
_FROM = re.compile(r"FROM\s+(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_LONGEST = 1000


def read_dockerfile(text: str) -> LockList:
    """The images after FROM, stages of the file itself left out; raises LockFileError with the line."""
    gathering = Gathering()
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    for number, line in _instructions(text):
        if (argument := _ARG.match(line)) and not stages:
            arguments[argument[1]] = _filled_in(argument[2] or argument[3] or argument[4] or "", arguments)
        elif re.match(r"FROM\s", line, re.IGNORECASE):
            found = _FROM.fullmatch(line)
            if found is None:
                raise LockFileError(f"{line[:100]!r} names no image", number)
            image = _filled_in(found[1], arguments)
            if not image:
                raise LockFileError(f"{found[1][:100]!r} has no value in the file", number)
            if image.lower() not in stages and image != "scratch":
                gathering.add(_image(image))
            stages.add((found[2] or f"#{number}").lower())
    return gathering.result()


def _filled_in(text: str, arguments: dict[str, str]) -> str:
    """The text with the values of its variables, both of a bounded length."""
    return _VARIABLE.sub(lambda one: arguments.get(one[1] or one[3], one[2] or ""), text[:_LONGEST])[
        :_LONGEST
    ]


def _image(text: str) -> Locked:
    name, _, digest = text.partition("@")
    bare, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        bare, tag = name, ""
    return Locked("oci", bare, tag or ("" if digest else "latest"), digests=digest_of(digest, "FROM"))


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    pieces: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        first = first if pieces else number
        pieces.append(line.rstrip().removesuffix("\\"))
        if not line.rstrip().endswith("\\"):
            yield first, " ".join(pieces).strip()
            pieces = []
    if pieces:
        yield first, " ".join(pieces).strip()
