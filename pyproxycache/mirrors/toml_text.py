"""TOML as plain data, whoever wrote it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_MOST_DOTS = 200
# What dots may stand in without parting a key: comments, and strings of the four kinds.
_NO_PARTS = re.compile(
    r"""#[^\n]*|\"{3}(?:[^\\]|\\.)*?\"{3,5}|'{3}.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""", re.DOTALL
)


def toml_of(text: str) -> dict[str, Any]:
    """The TOML document as plain data; raises ValueError, which says what is wrong with it."""
    # The reader's time is quadratic in the parts of a key.
    if any(line.count(".") > _MOST_DOTS for line in _NO_PARTS.sub('""', text).splitlines()):
        raise ValueError(f"a key has more than {_MOST_DOTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
