"""When entries were used last is known to all processes at once, and nothing is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxycache.errors import StoreError
from pyproxycache.store.files.last_uses import LastUses
from pyproxycache.store.values import Uses

NOW = 1_800_000_000.25
SLOTS = 1 << 16


def test_what_one_notes_the_other_knows(tmp_path: Path) -> None:
    one, other = LastUses(tmp_path / "uses"), LastUses(tmp_path / "uses")
    assert other.of(7) == Uses()
    one.note(7, NOW, 3)
    other.note(7, NOW + 1, 2)
    assert one.of(7).count == other.of(7).count == 5
    # It counts to the next millisecond, so that a use is never before what it is compared with.
    assert NOW + 1 <= one.of(7).last <= NOW + 1.002
    assert one.of(8) == Uses()
    assert LastUses(tmp_path / "uses").of(7) == one.of(7)


def test_entries_that_share_a_slot_are_not_taken_for_each_other(tmp_path: Path) -> None:
    uses = LastUses(tmp_path / "uses")
    uses.note(7, NOW, 3)
    uses.note(7 + SLOTS, NOW + 5, 1)
    assert uses.of(7) == Uses()
    assert uses.of(7 + SLOTS).count == 1
    uses.note(7, NOW + 6, 1)
    assert (uses.of(7).count, uses.of(7 + SLOTS)) == (1, Uses())


def test_a_place_that_cannot_be_used_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "uses").mkdir()
    with pytest.raises(StoreError, match="uses"):
        LastUses(tmp_path / "uses")
