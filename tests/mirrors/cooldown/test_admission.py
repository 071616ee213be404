"""Which releases are refused, by age and by name."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.cooldown.admission import Admission
from pyproxycache.mirrors.cooldown.known import RELEASE_DOCUMENTS

DAY = 86400.0
NOW = 1_800_000_000.0
PYTHON, JAVASCRIPT = RELEASE_DOCUMENTS["pypi"].naming, RELEASE_DOCUMENTS["npm"].naming


def never(_package: str, _version: str) -> bool:
    return False


def always(_package: str, _version: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("released", "told"),
    [
        (NOW - 7 * DAY, None),
        (NOW - 7 * DAY + 1, "x 1.0 is 6 d 23 h old, and mirrors.py.min_age is 1 w"),
        (NOW + DAY, "x 1.0 is 0 s old"),
        (NOW * 1000, "x 1.0 is 0 s old"),
        (None, "does not tell the age of x 1.0"),
        (0.0, "does not tell the age of x 1.0"),
        (-1e12, "does not tell the age of x 1.0"),
    ],
)
def test_ages(released: float | None, told: str | None) -> None:
    admission = Admission("py", PYTHON, min_age=7 * DAY)
    found = admission.refusal("x", "1.0", released, NOW, never)
    assert found is None if told is None else told in (found or "")
    assert found is None or "`pyproxycache mirror allow py x 1.0` lets it through" in found
    assert admission.refusal("x", "1.0", released, NOW, always) is None
    assert Admission("py", PYTHON).refusal("x", "1.0", released, NOW, never) is None


@pytest.mark.parametrize(
    ("excepted", "package", "fits"),
    [
        ("Our_Tool", "our-tool", True),
        ("our-*", "our.tool", True),
        ("our-*", "your-our-x", False),
        ("our", "our-tool", False),
        ("*", "anything", True),
        ("o.r", "oar", False),
    ],
)
def test_exceptions_by_name(excepted: str, package: str, fits: bool) -> None:
    admission = Admission("py", PYTHON, DAY, (excepted,))
    assert (admission.refusal(package, "1", NOW, NOW, never) is None) == fits


@pytest.mark.parametrize(
    ("blocked", "package", "version", "is_blocked"),
    [
        ("Some_Thing", "some-thing", "2", True),
        ("x==1.0", "X", "1", True),
        ("x==1.0", "x", "v1.0.0", True),
        ("x==1.0", "x", "1.0.post1", False),
        ("x==1.0", "x", "1.0+local", False),
        ("x==1.0", "y", "1.0", False),
        ("x", "x-y", "1.0", False),
    ],
)
def test_blocked_python(blocked: str, package: str, version: str, is_blocked: bool) -> None:
    admission = Admission("py", PYTHON, excepted=("*",), blocked=(blocked,))
    assert (admission.refusal(package, version, None, NOW, always) is not None) == is_blocked


@pytest.mark.parametrize(
    ("blocked", "package", "version", "is_blocked"),
    [
        ("@a/b", "@a/b", "1.0.0", True),
        ("@a/b", "@A/B", "1.0.0", True),
        ("@a/b", "b", "1.0.0", False),
        ("b==1.0.0", "b", "1.0.0", True),
        ("b==1.0.0", "b", "1.0.0-rc", False),
    ],
)
def test_blocked_javascript(blocked: str, package: str, version: str, is_blocked: bool) -> None:
    admission = Admission("js", JAVASCRIPT, blocked=(blocked,))
    assert (admission.refusal(package, version, None, NOW, always) is not None) == is_blocked


def test_an_exception_for_one_case_is_none_for_another() -> None:
    """JSONStream and jsonstream are two packages."""
    admission = Admission("js", JAVASCRIPT, DAY, ("JSONStream",))
    assert admission.refusal("JSONStream", "1.0.0", NOW, NOW, never) is None
    assert admission.refusal("jsonstream", "1.0.0", NOW, NOW, never) is not None
