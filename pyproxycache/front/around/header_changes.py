"""Fields of heads that a route removes, renames and sets."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pyproxycache.messages import Headers


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """Changes of the fields of a head, with their secrets read; all names are in lower case."""

    remove: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def made(self, headers: Headers) -> Headers:
        """The fields with the changes made."""
        headers = headers.lacking(self.remove)
        renamed = headers.among(frozenset(self.rename))
        if renamed:
            replaced = {self.rename[name] for name in renamed} - renamed
            headers = Headers(
                (_title(self.rename[name.lower()]) if name.lower() in renamed else name, value)
                for name, value in headers.lacking(replaced)
            )
        for name, value in self.values.items():
            headers = headers.with_field(_title(name), value)
        return headers

    def spare(self, names: AbstractSet[str]) -> bool:
        """Whether these fields, of names in lower case, stay as they are."""
        changed = {*self.remove, *self.rename, *self.rename.values(), *self.values}
        return changed.isdisjoint(names)


UNCHANGED = HeaderChanges()
"""No changes."""


def _title(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
