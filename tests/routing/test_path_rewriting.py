"""Paths as a route's upstream gets them: what is stripped, replaced and added, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.errors import BadRequest
from pyproxycache.route_options.around import PathOptions, PathReplacement
from pyproxycache.routing.path_rewriting import rewritten
from pyproxycache.routing.route_table import routed_path
from pyproxycache.url import leads_upward


def replacing(pattern: str, text: str) -> PathOptions:
    return PathOptions(replace=(PathReplacement(pattern=re.compile(pattern), text=text),))


@pytest.mark.parametrize(
    ("options", "path", "expected"),
    [
        (PathOptions(), "/a/%2e%5e", "/a/%2e%5e"),
        (PathOptions(strip="/api"), "/api/x%2Fy", "/x%2Fy"),
        (PathOptions(strip="/api/"), "/api/x", "/x"),
        (PathOptions(strip="/api"), "/api", "/"),
        (PathOptions(strip="/api"), "/api/", "/"),
        (PathOptions(strip="/api"), "/%61pi/x%20y", "/x%20y"),
        (PathOptions(strip="/api"), "//api//x", "/x"),
        (PathOptions(strip="/api"), "/api//x", "//x"),
        (PathOptions(strip="/api"), "/api;a=b/x", "/x"),
        (PathOptions(strip="/"), "/x", "/x"),
        (PathOptions(add="/v2"), "/x", "/v2/x"),
        (PathOptions(add="/v2/"), "/x", "/v2/x"),
        (PathOptions(strip="/api", add="/v2"), "/api/x", "/v2/x"),
        (replacing(r"^/item/(\d+)$", r"/items/\1.json"), "/item/7", "/items/7.json"),
        (replacing("a", "b"), "/a/a", "/b/b"),
    ],
)
def test_paths_as_they_are_asked_for(options: PathOptions, path: str, expected: str) -> None:
    assert rewritten(path, routed_path(path), options) == expected


@pytest.mark.parametrize(
    ("options", "path"),
    [
        (replacing("x", ".."), "/x/y"),
        (replacing("^/(.*)x(.*)$", r"/\1\2"), "/.x./y"),
        (replacing("x", "%2e"), "/%2ex/y"),
        (replacing("x", ""), "/%2x%2/..x"),
        (replacing("^/x", ""), "/x"),
        (replacing("^/x", "y"), "/x"),
        (replacing("x", "\\\\\\\\..\\\\\\\\"), "/x/y"),
    ],
)
def test_none_leads_elsewhere(options: PathOptions, path: str) -> None:
    with pytest.raises(BadRequest):
        rewritten(path, routed_path(path), options)


SEGMENTS = st.sampled_from(["a", "api", ".", ".x.", "%2e", "%61pi", "x", "", ";p", "%2F", "\\\\"])


@given(st.lists(SEGMENTS, min_size=1, max_size=6), st.sampled_from(["x", "a", "/", "%"]))
def test_whatever_is_replaced_stays_below(segments: list[str], found: str) -> None:
    path = "/api/" + "/".join(segments)
    options = PathOptions(
        strip="/api", add="/v", replace=(PathReplacement(pattern=re.compile(re.escape(found)), text="."),)
    )
    try:
        result = rewritten(path, routed_path(path), options)
    except BadRequest:
        return
    assert result.startswith("/v/")
    assert not leads_upward(result)
    assert not {"?", "#", " ", "\r", "\n"} & set(result)
