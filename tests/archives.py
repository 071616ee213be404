"""Archives that have the same bytes whenever they are made: tests make some of them twice, and compare."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Literal


def tarred(files: Mapping[str, bytes], packing: Literal["gzip", "bzip2"] = "gzip") -> bytes:
    """An archive of these files as tar writes it, packed."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    if packing == "bzip2":
        return bz2.compress(made.getvalue())
    return gzip.compress(made.getvalue(), compresslevel=1, mtime=0)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """An archive of these files as zip writes it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue()
