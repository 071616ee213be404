"""The environment before a run: what another run has set is undone, and its proxy becomes the parent."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from pyproxycache.cli.runs.client_variables import REPLACED
from pyproxycache.cli.runs.surroundings import before_replacing, parent_of, replacements
from pyproxycache.url import Url


def test_what_was_replaced_comes_back(tmp_path: Path) -> None:
    before = {"http_proxy": "http://corp:8080", "PATH": "/bin", "no_proxy": "a"}
    settings = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "no_proxy": "a,b"}
    (tmp_path / "replaced").write_text(replacements(before, settings))
    settings[REPLACED] = str(tmp_path / "replaced")
    assert before_replacing({**before, **settings}) == before
    # What the command has changed itself stays.
    changed = {**before, **settings, "no_proxy": "c", "NEW": "1"}
    del changed["https_proxy"]
    assert before_replacing(changed) == {**before, "no_proxy": "c", "NEW": "1"}


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"http_proxy": 3}', '{"http_proxy": [1]}', "\xff"])
def test_a_file_that_is_gone_or_damaged_changes_nothing(tmp_path: Path, text: str | None) -> None:
    place = tmp_path / "replaced"
    if text is not None:
        place.write_bytes(text.encode("latin-1"))
    assert before_replacing({"a": "b", REPLACED: str(place)}) == {"a": "b"}


@pytest.mark.parametrize(
    ("environ", "url", "credentials"),
    [
        ({"http_proxy": "http://corp:8080"}, Url("http", "corp", 8080, "/"), ""),
        ({"http_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2/"}, Url("http", "b", 2, "/"), ""),
        ({"https_proxy": "", "ALL_PROXY": "corp:3128"}, Url("http", "corp", 3128, "/"), ""),
        ({"https_proxy": "http://me:a%3Ab%40@corp:1/x"}, Url("http", "corp", 1, "/"), "me:a:b@"),
        ({"https_proxy": "http://[fd00::1]:3128"}, Url("http", "fd00::1", 3128, "/"), ""),
    ],
)
def test_the_parent_that_the_environment_names(environ: dict[str, str], url: Url, credentials: str) -> None:
    found = parent_of(environ)
    assert found is not None
    assert (found.url, found.credentials) == (url, credentials)


def test_there_is_no_parent_where_nothing_goes_through_it() -> None:
    assert parent_of({}) is None
    assert parent_of({"http_proxy": ""}) is None
    assert parent_of({"http_proxy": "http://corp:8080", "no_proxy": "*"}) is None


@pytest.mark.parametrize("url", ["socks5://corp:1080", "https://corp:3129", "http://", "http://corp:99999"])
def test_a_proxy_that_cannot_be_the_parent(url: str) -> None:
    with pytest.raises(ValueError, match="all_proxy: "):
        parent_of({"all_proxy": url})


def test_exceptions_mean_names_and_all_below_them() -> None:
    hosts = "a.example, .b.example,*.c.example,d.example:80,10.0.0.0/8,::1,[::1],_,"
    found = parent_of({"http_proxy": "http://corp:1", "NO_PROXY": hosts})
    assert found is not None
    assert found.exceptions == (
        "a.example",
        ".a.example",
        ".b.example",
        ".c.example",
        "d.example",
        ".d.example",
        ip_network("10.0.0.0/8"),
        ip_network("::1/128"),
        "_",
        "._",
    )
