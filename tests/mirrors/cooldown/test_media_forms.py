"""Which form of a document a client gets."""

from __future__ import annotations

import pytest

from pyproxycache.mirrors.cooldown.media_forms import preferred

FORMS = ("text/html", "application/a+html", "application/a+json")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        ("application/a+json", "application/a+json"),
        # As pip and npm send it.
        ("application/a+json, application/a+html; q=0.1, text/html; q=0.01", "application/a+json"),
        ("application/a+json; q=1.0, application/json; q=0.8, */*", "text/html"),
        ("application/*;q=0.5, text/html;q=0.1", "application/a+html"),
        ("text/html;q=0, */*;q=0.1", "application/a+html"),
        ("TEXT/HTML;q=0.3, application/a+json;level=1;Q=0.4", "application/a+json"),
        ("nonsense, ;;q=2,", "text/html"),
        (",".join(["x/y"] * 10_000), "text/html"),
    ],
)
def test_what_is_preferred(accept: str | None, chosen: str) -> None:
    assert preferred(accept, FORMS) == chosen
