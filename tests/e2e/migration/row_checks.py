"""Which row of a page's table each check of its effects is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Tried = TypeVar("Tried")


class Checks(Generic[Tried]):
    """What checks the rows of a page's table, by the setting that each row begins with."""

    def __init__(self) -> None:
        self.by_setting: dict[str, Callable[[Tried], None]] = {}

    def shows(self, setting: str) -> Callable[[Callable[[Tried], None]], Callable[[Tried], None]]:
        """Makes the check that of the row that begins with the setting."""

        def noted(check: Callable[[Tried], None]) -> Callable[[Tried], None]:
            self.by_setting[setting] = check
            return check

        return noted

    def different(self) -> list[Callable[[Tried], None]]:
        """All checks; several rows may have the same one."""
        return list(dict.fromkeys(self.by_setting.values()))
