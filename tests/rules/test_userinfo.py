"""User name and password in a URL: what they stand for, and that they stand nowhere else."""

from base64 import b64decode

import pytest

from pyproxycache.rules.userinfo import basic_credentials, split_userinfo, without_userinfo


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://user:pass@h/p", ("http://h/p", "user:pass")),
        ("http://a@b@h/p@q", ("http://h/p@q", "a@b")),
        ("http://@h", ("http://h", "")),
        ("http://h/p@q", ("http://h/p@q", "")),
        ("http://h?p@q", ("http://h?p@q", "")),
        ("http://h#p@q", ("http://h#p@q", "")),
        ("nonsense@h", ("nonsense@h", "")),
    ],
)
def test_split(url: str, parts: tuple[str, str]) -> None:
    assert split_userinfo(url) == parts


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("user:pass", b"user:pass"),
        ("user", b"user:"),
        (":pass", b":pass"),
        ("us%40er:p%3Aa%2Fss", b"us@er:p:a/ss"),
        ("user:pa:ss", b"user:pa:ss"),
        ("caf%C3%A9:%FF", b"caf\xc3\xa9:\xff"),
        ("user:100%", b"user:100%"),
    ],
)
def test_credentials(userinfo: str, pair: bytes) -> None:
    scheme, _space, coded = basic_credentials(userinfo).partition(" ")
    assert (scheme, b64decode(coded)) == ("Basic", pair)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://user:s3cret@h/p HTTP/9", "GET http://h/p HTTP/9"),
        ("GET /http:/user:s3cret@h/p", "GET /http:/h/p"),
        ("/https%3A%2F%2Fuser%3As3cret%40h%2Fp", "/https%3A%2F%2Fh%2Fp"),
        ("?url=http%3a%2f%2fuser:s3cret%40h", "?url=http%3a%2f%2fh"),
        ("/ftp://user:s3@cret@h/p", "/ftp://h/p"),
        ("http://h/a@b and http://h?a@b", "http://h/a@b and http://h?a@b"),
        ("http%3A%2F%2Fh%2Fa%40b", "http%3A%2F%2Fh%2Fa%40b"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_text_for_people(text: str, shown: str) -> None:
    assert without_userinfo(text) == shown
