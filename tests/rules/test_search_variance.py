"""No-Vary-Search: field text, two queries, and whether they mean the same."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import fields
from structured_text import written

from pyproxycache.messages import Headers
from pyproxycache.rules.search_variance import (
    DEFAULT,
    SearchVariance,
    equivalent,
    search_base,
    search_variance,
)
from pyproxycache.rules.structured import parse_dictionary


def names(*given: str) -> frozenset[str]:
    return frozenset(given)


@pytest.mark.parametrize(
    ("text", "variance"),
    [
        ("key-order", SearchVariance(ordered=False)),
        ("key-order=?1;x=1", SearchVariance(ordered=False)),
        ('params=("a" "b";x)', SearchVariance(names("a", "b"))),
        ('params=("%C3%A9+%E6%B0%97")', SearchVariance(names("é 気"))),
        ('except=("x")', SearchVariance(kept=names("x"))),
        ("except=()", SearchVariance(kept=names())),
        ('except=("x"), key-order', SearchVariance(kept=names("x"), ordered=False)),
        ("params", SearchVariance(kept=names())),
        ("params=?1", SearchVariance(kept=names())),
        ('params, except=("x")', SearchVariance(kept=names("x"))),
        ('key-order, params, except=("x"), other=1', SearchVariance(kept=names("x"), ordered=False)),
        ('params=("%ff")', SearchVariance(names("\ufffd"))),
    ],
)
def test_what_a_response_can_say(text: str, variance: SearchVariance) -> None:
    assert search_variance(fields(f"No-Vary-Search: {text}")) == variance


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown-key",
        "params=()",
        "key-order=?0",
        'key-order="not a boolean"',
        "key-order=1, params",
        'params="not an inner list"',
        "params=(not-a-string)",
        "params=?0",
        'params=("a"), except=("x")',
        "params=(), except=()",
        'params=?0, except=("x")',
        'except="not an inner list"',
        "except=(not-a-string)",
        "except=?1",
        "params, except=?1",
        'params=("a" 1)',
        "Params",
        "params, ",
        "é",
    ],
)
def test_what_leaves_the_whole_query_in_force(text: str) -> None:
    assert search_variance(fields(f"No-Vary-Search: {text}")) == DEFAULT


def test_several_lines_are_one_field() -> None:
    headers = fields('No-Vary-Search: params=("a")', "no-vary-search: key-order")
    assert search_variance(headers) == SearchVariance(names("a"), ordered=False)


# The field, two queries, and whether the answer to one answers the other.
TABLE = [
    ("", "?a", "?a", True),
    ("", "", "?", False),
    ("", "?a", "?a=", False),
    ("", "?a=b&&&c", "?a=b&c=", False),
    ("params=()", "?a=%61", "?a=a", False),
    ("key-order", "?a=1&b=2", "?b=2&a=1", True),
    ("key-order", "?a=1&a=2", "?a=2&a=1", False),
    ("key-order", "?a=1&b=3&a=2", "?b=3&a=1&a=2", True),
    ("key-order", "?a=1", "?a=1&b=2", False),
    ("key-order", "", "?", True),
    ("key-order", "?a=x", "?%61=%78", True),
    ("key-order", "?a=%f6", "?a=%ef%bf%bd", True),
    ("key-order", "?a=x&&&&", "?a=x", True),
    ("key-order", "?a=", "?a", True),
    ("key-order", "?a=%20", "?a=+&", True),
    ("key-order", "?a=%2B", "?a=+", False),
    ("key-order", "?a=%2b", "?a=%2B", True),
    ("key-order", "?a=%zz", "?a=%ZZ", False),
    ("key-order", "?a=b=c", "?a=b%3Dc", True),
    ("key-order", "?a=1%26b=2", "?a=1&b=2", False),
    ("key-order", "?a=%C3%A9", "?a=e%CC%81", False),
    ("key-order", "?a=%EF%BB%BFb", "?a=b", False),
    ("key-order", "?A=1", "?a=1", False),
    ('params=("utm")', "?a=1&utm=x", "?utm=y&a=1", True),
    ('params=("utm")', "?a=1", "?a=1&utm&utm=2", True),
    ('params=("utm")', "?a=1&utm=x", "?a=2&utm=x", False),
    ('params=("utm")', "?a=1&b=2", "?b=2&a=1", False),
    ('params=("utm"), key-order', "?a=1&b=2", "?b=2&utm&a=1", True),
    ('params=("utm")', "?UTM=1", "?UTM=2", False),
    ('params=("%C3%A9+1")', "?%C3%A9%201=1", "?%c3%a9+1=2", True),
    ("except=()", "?a=1", "", True),
    ("except=()", "?a=1", "?b", True),
    ('except=("id")', "?id=1&x=2", "?y&id=1", True),
    ('except=("id")', "?id=1&x=2", "?x=2", False),
    ('except=("id")', "?id=1", "?id=2", False),
    ('except=("id" "v")', "?id=1&v=2", "?v=2&id=1", False),
    ('except=("id" "v"), key-order', "?id=1&v=2", "?v=2&id=1", True),
    ("params", "?a=1", "?b=2", True),
]


@pytest.mark.parametrize(("text", "one", "other", "same"), TABLE)
def test_equivalent(text: str, one: str, other: str, same: bool) -> None:
    headers = fields(f"No-Vary-Search: {text}")
    assert equivalent(f"http://a/x{one}", f"http://a/x{other}", headers) is same
    assert equivalent(f"http://a/x{other}", f"http://a/x{one}", headers) is same


@pytest.mark.parametrize("other", ["http://a/y?q", "http://b/x?q", "https://a/x?q", "http://a/x/?q"])
def test_everything_before_the_query_counts(other: str) -> None:
    assert not equivalent("http://a/x?q", other, fields("No-Vary-Search: except=()"))


@pytest.mark.parametrize(("length", "same"), [(4096, True), (4097, False)])
def test_long_queries_are_not_compared(length: int, same: bool) -> None:
    one, other = (f"http://a/x?{f'utm={number}&'.ljust(length, 'a')}" for number in (1, 2))
    headers = fields('No-Vary-Search: params=("utm")')
    assert equivalent(one, one, headers)
    assert equivalent(one, other, headers) is same


def test_queries_leave_nothing_behind() -> None:
    headers = fields('No-Vary-Search: params=("utm")')
    rest = "&".join(f"name-{number}" for number in range(300))

    def compare(number: int) -> bool:
        return equivalent(f"http://a/x?{number}&{rest}", f"http://a/x?utm&{rest}", headers)

    compare(0)
    tracemalloc.start()
    assert not any(compare(number) for number in range(1, 200))
    left, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 100_000


@pytest.mark.parametrize(
    ("key", "lines", "base"),
    [
        ("http://a/x?q=1", ["No-Vary-Search: key-order"], "http://a/x"),
        ("http://a/x", ["No-Vary-Search: key-order"], "http://a/x"),
        ("http://a/x?a?b", ["No-Vary-Search: key-order"], "http://a/x"),
        ("http://a/x?q=1", ["No-Vary-Search: params=()"], ""),
        ("http://a/x?q=1", ["No-Vary-Search: ???"], ""),
        ("http://a/x?q=1", [], ""),
    ],
)
def test_search_base(key: str, lines: list[str], base: str) -> None:
    assert search_base(key, fields(*lines)) == base


def model(query: str, variance: SearchVariance) -> list[tuple[str, str]]:
    """The parameters that count, of queries without encoding, by the draft's own steps."""
    pairs = [piece.partition("=") for piece in query.split("&") if piece]
    kept = [
        (name, value)
        for name, _equals, value in pairs
        if (name in variance.kept if variance.kept is not None else name not in variance.ignored)
    ]
    return kept if variance.ordered else sorted(kept, key=lambda pair: pair[0])


QUERIES = st.lists(st.sampled_from(["a", "a=1", "b=1", "b=2", "c=", ""]), max_size=4).map("&".join)
SAID = st.sampled_from(
    ("key-order", "params", 'params=("a" "b"), key-order', 'except=("a")', 'except=("c"), key-order')
)


@given(SAID, QUERIES, QUERIES)
def test_the_steps_of_the_draft(text: str, one: str, other: str) -> None:
    headers = fields(f"No-Vary-Search: {text}")
    variance = search_variance(headers)
    expected = model(one, variance) == model(other, variance)
    assert equivalent(f"http://a/?{one}", f"http://a/?{other}", headers) is expected


@given(SAID)
def test_the_field_is_stable(text: str) -> None:
    members = parse_dictionary(text)
    assert members is not None
    anew = fields(f"No-Vary-Search: {written(members)}")
    assert search_variance(anew) == search_variance(fields(f"No-Vary-Search: {text}"))


@given(st.text(), st.text(), st.text())
def test_no_text_raises(text: str, one: str, other: str) -> None:
    headers = Headers([("No-Vary-Search", text)])
    equivalent(f"http://a/?{one}", f"http://a/?{other}", headers)
    search_base(one, headers)
