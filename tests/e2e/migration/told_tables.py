"""What a page says of another program's settings: its example, and the rows of its table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parents[3] / "docs"
_CODE = re.compile(r"`([^`]+)`")
_EXAMPLE = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Row:
    """The other program's `settings`, and what is `here` in their place."""

    settings: tuple[str, ...]
    here: str

    @property
    def name(self) -> str:
        return self.settings[0] if self.settings else self.here

    @property
    def has_counterpart(self) -> bool:
        return not self.here.startswith("none")


def one_each(names: str) -> list[str]:
    """The names, which have blanks between them."""
    return names.split()


def rows(page: str) -> list[Row]:
    """Those of the page's table."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (DOCS / page).read_text().splitlines()
        if line.startswith("|")
    ][2:]
    return [Row(tuple(_CODE.findall(theirs)), here) for theirs, here, *_note in cells]


def example(page: str) -> dict[str, Any]:
    """The configuration that the page shows."""
    (found,) = _EXAMPLE.findall((DOCS / page).read_text())
    made: dict[str, Any] = yaml.safe_load(found)
    return made
