"""Names of Python packages in one form."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[-_.]+")


def python_name(text: str) -> str:
    """The name in normal form (PEP 503): lower case, with a dash in place of each run of separators."""
    return _SEPARATORS.sub("-", text).lower()
