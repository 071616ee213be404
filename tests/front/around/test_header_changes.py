"""Fields that are removed, renamed and set, in this order."""

from __future__ import annotations

import pytest

from pyproxycache.front.around.header_changes import HeaderChanges
from pyproxycache.messages import Headers

Fields = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        (HeaderChanges(), [("A", "1")], [("A", "1")]),
        (HeaderChanges(frozenset({"a"})), [("A", "1"), ("b", "2"), ("a", "3")], [("b", "2")]),
        (HeaderChanges(rename={"a": "x-b"}), [("A", "1"), ("a", "2")], [("X-B", "1"), ("X-B", "2")]),
        (HeaderChanges(rename={"a": "b"}), [("B", "1")], [("B", "1")]),
        (HeaderChanges(rename={"a": "b"}), [("b", "1"), ("a", "2")], [("B", "2")]),
        (HeaderChanges(rename={"a": "b", "b": "a"}), [("a", "1"), ("b", "2")], [("B", "1"), ("A", "2")]),
        (HeaderChanges(frozenset({"b"}), {"a": "b"}), [("b", "1")], []),
        (HeaderChanges(values={"a": "3"}), [("a", "1"), ("a", "2")], [("A", "3")]),
        (HeaderChanges(rename={"a": "b"}, values={"b": "3"}), [("a", "1")], [("B", "3")]),
        (HeaderChanges(frozenset({"a"}), values={"a": "3"}), [("a", "1")], [("A", "3")]),
    ],
)
def test_changes(changes: HeaderChanges, before: Fields, after: Fields) -> None:
    assert changes.made(Headers(before)) == Headers(after)
