"""Arrays and objects of a JSON document, changed item by item, against a reader of the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.json_items import JsonItem, with_items

KEYS = st.sampled_from(["files", "versions", "a", 'q"\\', "é", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(['"', "\\", "}],:"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5)
PATHS = [("files",), ("versions",), ("a", "files"), ("a", "*", "versions")]


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def at(document: Any, path: tuple[str, ...]) -> list[Any]:
    """What is in the arrays and objects at the path, by a reader of the whole."""
    if not path:
        return list(document.values() if isinstance(document, dict) else document)
    if path[0] == "*":
        inner = document if isinstance(document, list) else []
    else:
        inner = [document[path[0]]] if isinstance(document, dict) and path[0] in document else []
    found = [one for one in inner if isinstance(one, dict | list)]
    return [value for one in found for value in at(one, path[1:])]


@given(DOCUMENTS, st.sampled_from([None, 1]), st.booleans(), st.integers(1, 9), st.sampled_from(PATHS))
def test_all_items_are_found_and_nothing_else_changes(
    document: dict[str, Any], indent: int | None, ascii_only: bool, size: int, path: tuple[str, ...]
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    seen: list[Any] = []

    def change(item: JsonItem) -> bytes:
        seen.append(json.loads(item.text))
        return item.text

    assert b"".join(with_items(pieces(text, size), [path], change)) == text
    assert seen == at(document, path)


@given(
    st.lists(VALUES, max_size=6),
    st.dictionaries(st.text(max_size=3), VALUES, max_size=6),
    st.sets(st.integers(0, 11)),
    st.integers(1, 9),
)
def test_items_are_left_out_or_replaced(
    files: list[Any], versions: dict[str, Any], gone: set[int], size: int
) -> None:
    text = json.dumps({"files": files, "between": [1], "versions": versions}).encode()
    count = 0

    def change(item: JsonItem) -> bytes | None:
        nonlocal count
        count += 1
        return None if count - 1 in gone else b'"new"'

    left = json.loads(b"".join(with_items(pieces(text, size), [("files",), ("versions",)], change)))
    kept = [number not in gone for number in range(len(files) + len(versions))]
    assert left == {
        "files": ["new" for is_kept in kept[: len(files)] if is_kept],
        "between": [1],
        "versions": {
            key: "new" for key, is_kept in zip(versions, kept[len(files) :], strict=True) if is_kept
        },
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"files": [',
        '{"files": [1, 2',
        '{"files": [1}',
        '{"files": [1,]}',
        '{"files": [,]}',
        '{"files": []}}',
        '{"files": []}{}',
        '"files"',
        "<html>",
        '{"files": ["',
        "[" * 1000,
        '{"versions": {"a": }}',
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_no_document(text: str, size: int) -> None:
    with pytest.raises(DocumentError):
        list(with_items(pieces(text.encode(), size), [("files",), ("versions",)], lambda item: item.text))


def test_an_item_has_a_limit() -> None:
    endless = (b'{"files": ["', *(b"x" * (1 << 20) for _ in range(20)))
    with pytest.raises(DocumentError, match="8 MB"):
        list(with_items(endless, [("files",)], lambda item: item.text))


@pytest.mark.parametrize("place", ['{"files": [], "readme": "', '{"readme": [{"a": "'])
def test_long_strings_elsewhere_are_given_on(place: str) -> None:
    """In no more memory than a piece, and in time in proportion."""
    given_on = 0
    end = b"}" if place.count("{") == 1 else b"}]}"
    parts = (place.encode(), *(b'x\\"' * 20_000 for _ in range(200)), b'"' + end)
    for part in with_items(parts, [("files",)], lambda item: item.text):
        assert len(part) <= 60_001
        given_on += len(part)
    assert given_on == sum(map(len, parts))


@pytest.mark.parametrize("item", ["tru", '{"a": 1 2}', '"\\x"', "01"])
def test_an_item_that_is_no_json(item: str) -> None:
    with pytest.raises(DocumentError, match="an item is no JSON"):
        list(
            with_items(
                [f'{{"files": [{item}]}}'.encode()],
                [("files",)],
                lambda one: json.dumps(json.loads(one.text)).encode(),
            )
        )
