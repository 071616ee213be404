"""Versions in normal form, and which is the newest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from pyproxycache.mirrors.cooldown.by_ecosystem.semantic_versions import newest, order_of
from pyproxycache.mirrors.python_versions import newest as newest_python_version
from pyproxycache.mirrors.python_versions import python_version


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1.0", "1"),
        ("v1.0.0", "1"),
        ("01.020", "1.20"),
        ("0.0", "0"),
        ("1!2.0", "1!2"),
        ("0!2", "2"),
        ("1.0.ALPHA.1", "1a1"),
        ("1.0-c2", "1rc2"),
        ("1.0preview", "1rc0"),
        ("1.0-1", "1.post1"),
        ("1.0.rev", "1.post0"),
        ("1.0_post_3.dev4", "1.post3.dev4"),
        ("1.0+Ubuntu-01", "1+ubuntu.1"),
        ("2025.1.1", "2025.1.1"),
        ("", None),
        ("1.0.x", None),
        ("latest", None),
        ("1" * 201, None),
        ("1..0", None),
    ],
)
def test_python_versions(text: str, normal: str | None) -> None:
    assert python_version(text) == normal


@given(st.text(st.sampled_from("0123v!.-_+abcrpostdev"), max_size=40))
def test_the_normal_form_stays(text: str) -> None:
    normal = python_version(text)
    assert normal is None or python_version(normal) == normal


# The order of semver.org's section 11.
IN_ORDER = (
    *("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"),
    *("1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0"),
)


def test_semantic_versions_in_their_order() -> None:
    orders = [order_of(one) for one in IN_ORDER]
    assert None not in orders
    assert orders == sorted(orders)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("versions", "at_most", "found"),
    [
        (["1.0.0", "2.0.0", "3.0.0"], "2.5.0", "2.0.0"),
        (["1.0.0", "2.0.0-rc.1"], "2.0.0", "1.0.0"),
        (["3.0.0", "4.0.0"], "2.0.0", "4.0.0"),
        (["2.0.0-rc.1", "2.0.0-rc.2"], "2.0.0", "2.0.0-rc.2"),
        (["1.0.0", "x"], "what", "1.0.0"),
        (["x"], "1.0.0", None),
        ([], "1.0.0", None),
        (["1.0.0+b"], "1.0.0", "1.0.0+b"),
    ],
)
def test_the_newest(versions: list[str], at_most: str, found: str | None) -> None:
    assert newest(versions, at_most) == found


def test_what_is_no_semantic_version() -> None:
    assert [order_of(one) for one in ("1", "1.2", "1.2.3.4", "v1.2.3", "1" * 17 + ".0.0", "")] == [None] * 6


VERSIONS = ["1.0.dev1", "1.0a1.dev2", "1.0a1", "1.0a1.post1", "1.0b1", "1.0rc1", "1.0rc10", "1.0", "1.0+a"]
VERSIONS += ["1.0+1", "1.0+1.1", "1.0+a.1", "1.0.post0.dev1", "1.0.post0", "1.0.post2", "1.1.dev1", "1.1"]
VERSIONS += ["1.10", "2", "1!0.1"]


@pytest.mark.parametrize("one", VERSIONS)
@pytest.mark.parametrize("other", VERSIONS)
def test_the_newest_python_version(one: str, other: str) -> None:
    """As the library of Python's own packagers has it, and final releases before others."""
    both = [Version(one), Version(other)]
    best = max([version for version in both if not version.is_prerelease] or both)
    found = newest_python_version([one, other, "what"])
    assert found is not None
    assert Version(found) == best
    assert newest_python_version(["what"]) is None
