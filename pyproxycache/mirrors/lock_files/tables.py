"""Lock files in TOML and JSON as plain data, and what is taken out of it by type."""

from __future__ import annotations

import json
from typing import Any

from pyproxycache.mirrors.lock_files.locked import LockFileError
from pyproxycache.mirrors.toml_text import toml_of


def toml_document(text: str) -> dict[str, Any]:
    """The TOML document; raises LockFileError."""
    try:
        return toml_of(text)
    except ValueError as error:
        raise LockFileError(f"it is not TOML that can be read: {error}") from None


def json_document(text: str) -> dict[str, Any]:
    """The JSON object; raises LockFileError."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise LockFileError(f"it is not JSON: {error.msg}", error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise LockFileError(f"it is not JSON that can be read: {error}") from None
    if not isinstance(found, dict):
        raise LockFileError("it is not a JSON object")
    return found


def items_of(table: Any, key: str) -> list[dict[str, Any]]:
    """The tables in an array of them, [] where there is none; raises LockFileError for anything else."""
    found = table.get(key, []) if isinstance(table, dict) else []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise LockFileError(f"its {key!r} is not a list of tables")
    return found


def table_of(table: Any, key: str) -> dict[str, Any]:
    """The table under a key, {} where there is none; raises LockFileError for anything else."""
    found = table.get(key, {}) if isinstance(table, dict) else {}
    if not isinstance(found, dict):
        raise LockFileError(f"its {key!r} is not a table")
    return found


def text_of(table: Any, key: str) -> str:
    """The text under a key, "" where there is none."""
    found = table.get(key) if isinstance(table, dict) else None
    return found if isinstance(found, str) else ""
