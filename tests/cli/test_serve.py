"""What `serve` says where it is to be found."""

import pytest

from pyproxycache.cli.serve import usable_address


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (("127.0.0.1:3128",), "127.0.0.1:3128"),
        (("0.0.0.0:80",), "127.0.0.1:80"),
        (("[::]:3128",), "[::1]:3128"),
        (("[2001:db8::1]:3128",), "[2001:db8::1]:3128"),
        (("unix:/run/x.sock", "localhost:1"), "localhost:1"),
        (("192.0.2.7:1", "127.0.0.1:2"), "192.0.2.7:1"),
    ],
)
def test_usable_address(listen: tuple[str, ...], address: str) -> None:
    assert usable_address(listen) == address


def test_no_address_to_connect_to(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        usable_address(("unix:/run/x.sock",))
    assert "Unix sockets only" in capsys.readouterr().err
