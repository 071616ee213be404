"""Cache groups: field text and the groups it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import fields, head
from structured_text import written

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.groups import cache_groups, invalidated_groups


@pytest.mark.parametrize(
    ("lines", "groups"),
    [
        ([], ()),
        (["Cache-Groups:"], ()),
        (['Cache-Groups: "a"'], ("a",)),
        (['Cache-Groups: "a", "B c";x=1, "a"'], ("a", "B c")),
        (['Cache-Groups: "a"', 'cache-groups: "b"'], ("a", "b")),
        (['Cache-Groups: "A", "a"'], ("A", "a")),
        (['Cache-Groups: ""'], ("",)),
        (["Cache-Groups: a"], ()),
        (['Cache-Groups: "a", b'], ()),
        (['Cache-Groups: "a", 1'], ()),
        (['Cache-Groups: ("a")'], ()),
        (['Cache-Groups: "a",'], ()),
        (["Cache-Groups: 'a'"], ()),
        (['Cache-Groups: "é"'], ()),
        (['Cache-Group-Invalidation: "a"'], ()),
    ],
)
def test_cache_groups(lines: list[str], groups: tuple[str, ...]) -> None:
    assert cache_groups(fields(*lines)) == groups


def test_as_many_as_have_to_be_supported() -> None:
    groups = tuple(f"{number:0>32}" for number in range(32))
    assert cache_groups(Headers([("Cache-Groups", written([(g, {}) for g in groups]))])) == groups


def test_there_is_an_end_to_it() -> None:
    groups = ["x" * 300, *(f"{number}" for number in range(1000))]
    found = cache_groups(Headers([("Cache-Groups", written([(g, {}) for g in groups]))]))
    assert found == tuple(f"{number}" for number in range(128))


@pytest.mark.parametrize(
    ("method", "status", "groups"),
    [
        ("POST", 200, ("a", "b")),
        ("PUT", 204, ("a", "b")),
        ("DELETE", 303, ("a", "b")),
        ("M-SEARCH", 200, ("a", "b")),
        ("POST", 500, ("a", "b")),
        ("GET", 200, ()),
        ("HEAD", 200, ()),
        ("OPTIONS", 200, ()),
        ("TRACE", 200, ()),
        ("QUERY", 200, ()),
    ],
)
def test_invalidated_groups(method: str, status: int, groups: tuple[str, ...]) -> None:
    answer = head('Cache-Group-Invalidation: "a", "b"', 'Cache-Groups: "c"', status=status)
    assert invalidated_groups(method, answer) == groups


@given(st.lists(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=32), max_size=32))
def test_what_is_written_is_read(groups: list[str]) -> None:
    text = written([(group, {}) for group in groups])
    assert cache_groups(Headers([("Cache-Groups", text)])) == tuple(dict.fromkeys(groups))


@given(st.text())
def test_no_text_raises(text: str) -> None:
    headers = Headers([("Cache-Groups", text), ("Cache-Group-Invalidation", text)])
    assert invalidated_groups("POST", Head(200, "", headers)) == cache_groups(headers)
