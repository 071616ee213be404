"""Which of a key's entries a request gets: Vary, the newest, queries that mean the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import DAY, URL, entry, fields, get, head

from pyproxycache.messages import Entry, Headers, Part, Request
from pyproxycache.rules.variants import newest, select, selecting_fields, vary_fields, vary_values


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        (["Vary:"], ()),
        (["Vary: Foo"], ("foo",)),
        (["Vary: Foo, bar", "vary: FOO"], ("bar", "foo")),
        (["Vary: *"], None),
        (["Vary: , *"], None),
        (["Vary: Foo", "Vary: *"], None),
        (["Vary: Accept Encoding"], None),
        (["Vary: Foo, Accept\tEncoding"], None),
        (["Vary: (content)"], None),
        (['Vary: "Foo"'], None),
        (["Vary: Foo;q=1"], None),
        (["Vary: fo\xe9"], None),
        (["Vary: *, Foo Bar"], None),
    ],
)
def test_vary_fields(lines: list[str], names: tuple[str, ...] | None) -> None:
    assert vary_fields(fields(*lines)) == names


@pytest.mark.parametrize(
    ("name", "lines", "value"),
    [
        ("foo", [], None),
        ("foo", ["Foo:"], ""),
        ("foo", ["Foo: 1,2"], "1, 2"),
        ("foo", ["Foo: 1", "foo:  2"], "1, 2"),
        ("foo", ["Foo: A"], "A"),
        ("foo", ['Foo: "a,b"'], '"a,b"'),
        ("accept-encoding", ["Accept-Encoding: br; q=0.50", "accept-encoding: X-GZIP"], "gzip, br;q=0.5"),
        ("accept-language", ["Accept-Language: en;q=0.8,de,EN-gb"], "de, en-gb, en;q=0.8"),
        ("cookie", ["Cookie: a=1,2; b", "cookie: c"], "a=1,2; b, c"),
    ],
)
def test_vary_values(name: str, lines: list[str], value: str | None) -> None:
    assert vary_values([name], get(*lines)) == ((name, value),)


OLD = entry("X: old", age=DAY)
NEW = entry("X: new")
GZIP = entry("X: gzip", age=DAY / 2, vary=(("accept-encoding", "gzip"),))
BARE = entry("X: bare", age=DAY / 2, vary=(("accept-encoding", None),))
UNDATED = replace(entry(age=5), head=head("X: undated", date=None))


@pytest.mark.parametrize(
    ("entries", "lines", "chosen"),
    [
        pytest.param([], [], None, id="nothing-stored"),
        pytest.param([OLD], ["Foo: 1"], OLD, id="does-not-vary"),
        pytest.param([OLD, NEW], [], NEW, id="most-recent-date"),
        pytest.param([NEW, OLD], [], NEW, id="most-recent-date-first"),
        pytest.param([GZIP, BARE], ["Accept-Encoding: GZIP"], GZIP, id="same-value"),
        pytest.param([GZIP, BARE], [], BARE, id="both-absent"),
        pytest.param([GZIP, BARE], ["Accept-Encoding: br"], None, id="other-value"),
        pytest.param([GZIP, BARE], ["Accept-Encoding:"], None, id="empty-is-not-absent"),
        pytest.param([GZIP, OLD], ["Accept-Encoding: gzip"], GZIP, id="newer-of-both"),
        pytest.param([GZIP, OLD], ["Accept-Encoding: br"], OLD, id="falls-back"),
        pytest.param([UNDATED, OLD], [], UNDATED, id="no-date-newer"),
        pytest.param([UNDATED, NEW], [], NEW, id="no-date-older"),
    ],
)
def test_the_newest_that_fits(entries: list[Entry], lines: list[str], chosen: Entry | None) -> None:
    assert newest(select(entries, str(URL), get(*lines))) == chosen


def test_all_that_fit_in_their_order() -> None:
    assert select([OLD, GZIP, NEW], str(URL), get()) == [OLD, NEW]


KEY = "http://a/x?q=1&utm=a"


@pytest.mark.parametrize(
    ("said", "asked", "found"),
    [
        pytest.param([], KEY, True, id="same-query"),
        pytest.param([], "http://a/x?q=1&utm=b", False, id="other-query"),
        pytest.param(['No-Vary-Search: params=("utm")'], "http://a/x?q=1&utm=b", True, id="equivalent"),
        pytest.param(['No-Vary-Search: params=("utm")'], "http://a/x?q=2&utm=a", False, id="another"),
    ],
)
def test_a_query_that_means_the_same(said: list[str], asked: str, found: bool) -> None:
    stored = replace(entry(*said), key=KEY)
    assert select([stored], asked, get()) == ([stored] if found else [])


@given(st.text(), st.text())
def test_no_vary_text_raises(vary: str, value: str) -> None:
    names = vary_fields(Headers([("Vary", vary)]))
    names = names or ("accept-encoding",)
    vary_values(names, Request("GET", URL, Headers((name, value) for name in names)))


FOR_A = (("origin", "http://a"),)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        pytest.param(["Origin: http://a"], [1, 4], id="those-with-vary-before-newer-ones-without"),
        pytest.param(["Origin: http://b"], [2, 3], id="none-with-vary-fits"),
        pytest.param([], [2, 3], id="the-default"),
    ],
)
def test_of_fitting_ones_those_with_vary_win(asked: list[str], chosen: list[int]) -> None:
    """Vary comes only with an Origin, as origins do for CORS (RFC 9111 section 4.1)."""
    stored = [
        replace(entry(age=99, vary=FOR_A), id=1),
        replace(entry(age=1), id=2),
        replace(entry(age=2), part=Part(0, 1, 9), id=3),
        replace(entry(age=50, vary=FOR_A), part=Part(0, 1, 9), id=4),
    ]
    found = select(stored, str(URL), get(*asked))
    assert [one.id for one in found] == chosen


@pytest.mark.parametrize(
    ("vary", "counts"),
    [
        pytest.param(", ".join(f"X-{n}" for n in range(64)), True, id="as-many-as-are-looked-at"),
        pytest.param(", ".join(f"X-{n}" for n in range(65)), False, id="one-more"),
        pytest.param(", ".join(f"X-{n}" for n in range(28_000)), False, id="a-bomb"),
        pytest.param("X" * 2049, False, id="a-long-name"),
    ],
)
def test_a_vary_that_costs_more_than_it_is_worth_is_as_good_as_any(vary: str, counts: bool) -> None:
    assert (vary_fields(fields(f"Vary: {vary}")) is not None) == counts


@pytest.mark.parametrize(
    ("stored", "asked", "fitting"),
    [
        ([], ["X-Forwarded-Host: evil"], False),
        (["X-Forwarded-Host: evil"], [], False),
        (["X-Forwarded-Host: evil"], ["X-Forwarded-Host: evil"], True),
        (["X-Original-URL: /a"], ["X-Original-URL: /b"], False),
        (["X-Original-URL: /a"], ["X-Original-URL: /a", "X-Host: b"], False),
        (["Forwarded: for=1.1.1.1"], [], True),
        (["Forwarded: for=1.1.1.1;host=a"], ["Forwarded: host=A;by=_x"], True),
        (["Forwarded: host=a"], ["Forwarded: host=b"], False),
        (["X-Forwarded-For: 1.1.1.1"], [], True),
    ],
)
def test_what_overrides_the_url_selects(stored: list[str], asked: list[str], fitting: bool) -> None:
    one, other = get(*stored), get(*asked)
    names = selecting_fields(one, fields())
    assert names is not None
    kept = replace(entry(), vary=vary_values(names, one))
    assert bool(select([kept], str(URL), other)) is fitting


@pytest.mark.parametrize("vary", [[], ["Vary: Origin"], ["Vary: accept"]])
def test_what_is_known_to_be_chosen_by_the_request(vary: list[str]) -> None:
    """A policy names fields that origins leave out of Vary."""
    names = selecting_fields(get(), fields(*vary), frozenset({"accept"}))
    assert names == tuple(sorted({"accept", *(["origin"] if vary == ["Vary: Origin"] else [])}))
    assert selecting_fields(get(), fields("Vary: *"), frozenset({"accept"})) is None
