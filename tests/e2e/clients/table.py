"""The tables of docs/clients.md and docs/ecosystems.md, made of what the tests have noted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from client import version_told
from every_client import CLIENTS
from mirrored_clients import MIRRORED_CLIENTS

COLUMNS = {"tunnel": "Tunnel", "interception": "Intercepted", "run": "`run --`"}
_TABLE = re.compile(r"^\| Client \|.*\n(?:\|.*\n)+", re.MULTILINE)


def write_table(page: Path, cells: Iterable[tuple[str, str, str]]) -> None:
    """Puts a new table in the place of the one on the page, with a row for each client that was run."""
    rows: dict[str, dict[str, str]] = {}
    for name, column, text in cells:
        rows.setdefault(name, {})[column] = text
    lines = [("Client", "Version", "Told by", *COLUMNS.values()), ("---",) * (3 + len(COLUMNS))]
    for name, client in CLIENTS.items():
        if name not in rows:
            continue
        told = (rows[name].get(column, "not tried") for column in COLUMNS)
        lines.append((name, client.shown_version(), client.told_by, *told))
    _put(page, lines)


ECOSYSTEM_COLUMNS = ("Client", "Version", "Told by", "Tried by", "Checked", "Rewritten", "Offline")


def write_ecosystems(page: Path, tried: Iterable[str]) -> None:
    """Puts a new table in the place of the one on the page, with a row for each client that was tried."""
    names = set(tried)
    rows = [
        client.row(version_told(tuple(map(str, client.version))))
        for client in MIRRORED_CLIENTS
        if client.name in names
    ]
    _put(page, [ECOSYSTEM_COLUMNS, ("---",) * len(ECOSYSTEM_COLUMNS), *rows])


def _put(page: Path, lines: Sequence[tuple[str, ...]]) -> None:
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("| --- |", "|---|")
    table = re.sub(r"^\| ?---.*$", "|" + "---|" * len(lines[0]), table, flags=re.MULTILINE)
    text = page.read_text()
    assert _TABLE.search(text), f"{page} has no table that begins with Client"
    page.write_text(_TABLE.sub(lambda _old: table, text))
