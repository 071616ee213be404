"""What a request is for, as the operator's rules have it."""

from __future__ import annotations

import re

import pytest

from pyproxycache.messages import Head, Headers
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.cache_key import QueryMode
from pyproxycache.rules.policy import Match, Policies, Policy, Rule
from pyproxycache.rules.urls import parse_url

RULES = Policies(
    (
        Rule(Match(path=re.compile("^/sorted"), status=frozenset({404})), Policy(query=QueryMode.IGNORE)),
        Rule(Match(path=re.compile("^/sorted")), Policy(query=QueryMode.SORT, silence=5.0)),
        Rule(Match(host=re.compile("^b")), Policy(query=QueryMode.IGNORE, fresh=60.0)),
    )
)
REALM = Realm(RULES)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://a/x?b=1&a=2", "http://a/x?b=1&a=2"),
        ("http://a/sorted?b=1&a=2", "http://a/sorted?a=2&b=1"),
        ("http://b/sorted?b=1&a=2", "http://b/sorted?a=2&b=1"),
        ("http://b/x?b=1&a=2", "http://b/x"),
        ("HTTP://B:80?", "http://b/"),
    ],
)
def test_its_key_and_the_one_without_a_query(url: str, key: str) -> None:
    resource = REALM.resource(parse_url(url))
    assert resource.key == key
    assert resource.search_key == key.partition("?")[0]


@pytest.mark.parametrize(
    ("url", "fresh", "silence"),
    [("http://a/x", None, None), ("http://a/sorted", None, 5.0), ("http://b/x", 60.0, None)],
)
def test_its_rules_are_those_of_its_url(url: str, fresh: float | None, silence: float | None) -> None:
    rules = REALM.resource(parse_url(url)).rules
    assert rules.for_head(Head(200, "OK", Headers())).fresh == fresh
    assert rules.silence(None) == silence


def test_the_same_is_equal() -> None:
    url = parse_url("http://a/x")
    assert REALM.resource(url) == REALM.resource(url)
    assert len({REALM.resource(url), REALM.resource(url)}) == 1
    assert Realm(Policies()).resource(url) != REALM.resource(url)


def test_realms_share_the_key_of_a_url() -> None:
    url = parse_url("http://a/x?b=1&a=2")
    assert Realm(Policies()).resource(url).key == REALM.resource(url).key
