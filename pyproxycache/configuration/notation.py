"""How values are written in the configuration: each kind of value, read from YAML and written back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, NamedTuple

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Url
from pyproxycache.options import Share
from pyproxycache.rules.urls import parse_url
from pyproxycache.units import AGE_UNITS, SIZE_UNITS, parse_age, parse_size

_HOST = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_EXCEPTION = re.compile(rf"\.?{_HOST}")
_ADDRESS = re.compile(rf"(?P<host>{_HOST}|\[(?P<six>[^\]]*)\]|):(?P<port>\d{{1,5}})")
_STATUS = re.compile(r"[1-5](?:\d\d|xx)")
_DIGITS = re.compile(r"[0-9]{1,18}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Notation(NamedTuple):
    """How one kind of value is written: `read` converts plain YAML data to it, `write` converts it back.

    `read` raises ValueError, which names the value and what is accepted.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _refusal(value: object, what: str) -> ValueError:
    return ValueError(f"{value!r} is not {what}")


def _refusal_of_place(value: object, what: str) -> ValueError:
    """As `_refusal`, for where a password may stand before an `@`: messages go to logs."""
    if isinstance(value, str) and "@" in value:
        behind = value.rpartition("@")[2]
        return ValueError(
            f"user names and passwords are not written here, before '@{behind}': "
            "for a parent, parent.credentials names a file of them"
        )
    return _refusal(value, what)


def _plain_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(value: Any) -> int:
    size = parse_size(value) if isinstance(value, str) else value
    if not _plain_number(size) or not 0 <= size < 1 << 63:
        raise _refusal(value, "a size: a number, alone or with K, M, G or T behind it, as in 200G")
    return int(size)


def _age(value: Any) -> float:
    age = parse_age(value) if isinstance(value, str) else value
    if not _plain_number(age) or not (age >= 0 and math.isfinite(age)):
        raise _refusal(value, "an age: a number, alone or with s, m, h, d or w behind it, as in 30d")
    return float(age)


def _timeout(value: Any) -> float:
    age = _age(value)
    if age == 0:
        raise _refusal(value, "a timeout: an age above zero, as in 10s")
    return age


def _count(value: Any) -> int:
    count = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise _refusal(value, "a count: a whole number from 1")
    return count


def _port(value: Any) -> int:
    port = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise _refusal(value, "a port: a whole number from 1 to 65535")
    return port


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refusal(value, "true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(value, "text: put it in quotes")
    return value


def _realm(value: Any) -> str:
    text = _text(value)
    if not text.isascii() or not text.isprintable():
        raise _refusal(value, "a realm: text of printable ASCII")
    return text


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise _refusal(value, "a path, as in /var/cache/pyproxycache")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise _refusal(value, f"a path: {error}") from error


def _access_log(value: Any) -> str:
    if isinstance(value, str) and value.startswith("syslog:"):
        place = value.removeprefix("syslog:")
        if place and not place.startswith("/") and not _is_host_and_port(place):
            raise _refusal(value, "syslog:, syslog:/path/to/socket or syslog:host:port")
        return value
    if value == "-":
        return "-"
    try:
        return str(_path(value))
    except ValueError:
        accepted = "a path, as in /var/log/pyproxycache.log, '-' or 'syslog:'"
        raise _refusal(value, accepted) from None


def _is_host_and_port(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and match["host"] != "" and 0 < int(match["port"]) <= 65535


def _network(value: Any) -> Any:
    if not isinstance(value, str):
        raise _refusal(value, "a network, as in 192.168.0.0/16 or 'fd00::/8'")
    try:
        around = ip_interface(value).network
    except ValueError:
        raise _refusal(value, "a network, as in 192.168.0.0/16 or 'fd00::/8'") from None
    try:
        return ip_network(value)
    except ValueError:
        raise _refusal(value, f"a network, but an address in {around}: write that") from None


def _exception(value: Any) -> Any:
    """A network, else a host name, or a domain with a dot before it."""
    if isinstance(value, str) and "@" not in value and ("/" in value or ":" in value or _is_address(value)):
        return _network(value)
    if not isinstance(value, str) or not _EXCEPTION.fullmatch(value):
        raise _refusal_of_place(value, "an exception: a host, .example.org for a domain, or a network")
    return value.lower()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _address(value: Any) -> str:
    """An address to listen on, as gunicorn takes it; a port alone means all addresses, IPv4 and IPv6."""
    accepted = "127.0.0.1:3128, '[::1]:3128', ':3128' for all, or unix:/run/proxy.sock"
    refusal = _refusal_of_place(value, f"an address, as in {accepted}")
    if not isinstance(value, str):
        raise refusal
    if value.startswith("unix:/"):
        return value
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > 65535:
        raise refusal
    if int(match["port"]) == 0:
        # Neither clients nor the guard, which protects the cache's own ports, would know the port.
        raise ValueError(f"{value!r} leaves the port to the system: name one, from 1 to 65535")
    if match["six"] is not None:
        try:
            IPv6Address(match["six"])
        except ValueError:
            raise refusal from None
    return value if match["host"] else f"[::]:{match['port']}"


def _url(value: Any) -> Url:
    try:
        return parse_url(_text(value))
    except (BadRequest, ValueError) as error:
        raise _refusal_of_place(value, f"a URL, as in http://host:port ({error})") from error


def _origin_url(value: Any) -> Url:
    url = _url(value)
    if "?" in url.target:  # paths are written behind it
        raise _refusal(value, "an origin's URL: http://host:port, a path if wanted, and no query")
    return url


def _proxy_url(value: Any) -> Url:
    url = _url(value)
    if url.target != "/":
        raise _refusal(value, "a proxy's URL: http://host:port with no path")
    return url


def _pattern(flags: int) -> Callable[[Any], re.Pattern[str]]:
    def read(value: Any) -> re.Pattern[str]:
        try:
            return re.compile(_text(value), flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise _refusal(value, rf"a regular expression, as in '\.deb$' ({error})") from error

    return read


def _status(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool | float) or not _STATUS.fullmatch(text):
        raise _refusal(value, "a status: 404, or 4xx for all from 400 to 499")
    return text


def status_codes(status: str) -> tuple[int, ...]:
    """The codes that "404" or "4xx" stands for."""
    if status.endswith("xx"):
        return tuple(range(int(status[0]) * 100, int(status[0]) * 100 + 100))
    return (int(status),)


def _field_name(value: Any) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise _refusal(value, "a header field's name, as in set-cookie")
    return value.lower()


def _lifetime(value: Any) -> float | tuple[tuple[str, float], ...]:
    if not isinstance(value, dict):
        return _age(value)
    return tuple((_status_or_any(key), _age(age)) for key, age in value.items())


def _status_or_any(value: Any) -> str:
    if value == "any":
        return "any"
    try:
        return _status(value)
    except ValueError:
        raise _refusal(value, "any or a status: 404, or 4xx for all from 400 to 499") from None


def _write_lifetime(value: float | tuple[tuple[str, float], ...]) -> Any:
    if isinstance(value, tuple):
        return {_write_status(status): _write_age(age) for status, age in value}
    return _write_age(value)


def _share(accepted: str) -> Callable[[Any], Share]:
    def read(value: Any) -> Share:
        try:
            if not (isinstance(value, str) and value.endswith("%")):
                return Share(size=_size(value))
            percent = float(value[:-1])
        except ValueError:
            percent = math.nan
        if not 0 <= percent <= 100:
            raise _refusal(value, accepted)
        return Share(percent=percent)

    return read


def _write_share(share: Share) -> Any:
    return f"{share.percent}".removesuffix(".0") + "%" if share.percent else _write_size(share.size)


def _write_size(size: int) -> int | str:
    for unit, factor in SIZE_UNITS.items():
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return size


def _write_age(age: float) -> float | str:
    for unit, factor in AGE_UNITS.items():
        if age and age % factor == 0:
            return f"{age / factor:.0f}{unit}"
    return age


def _write_status(status: str) -> int | str:
    return int(status) if status.isdigit() else status


def _unchanged(value: Any) -> Any:
    return value


def _regex_text(pattern: re.Pattern[str]) -> str:
    return pattern.pattern


NOTATIONS = {
    "size": Notation(_size, _write_size),
    "age": Notation(_age, _write_age),
    "timeout": Notation(_timeout, _write_age),
    "count": Notation(_count, _unchanged),
    "port": Notation(_port, _unchanged),
    "switch": Notation(_switch, _unchanged),
    "text": Notation(_text, _unchanged),
    "realm": Notation(_realm, _unchanged),
    "path": Notation(_path, str),
    "network": Notation(_network, str),
    "host or network": Notation(_exception, str),
    "address": Notation(_address, _unchanged),
    "access log": Notation(_access_log, _unchanged),
    "origin url": Notation(_origin_url, str),
    "proxy url": Notation(_proxy_url, str),
    "pattern": Notation(_pattern(0), _regex_text),
    "caseless pattern": Notation(_pattern(re.IGNORECASE), _regex_text),
    "status": Notation(_status, _write_status),
    "field name": Notation(_field_name, _unchanged),
    "lifetime": Notation(_lifetime, _write_lifetime),
    "reserve": Notation(
        _share("a reserve: a share of the disk as in 5%, or a size as in 10G"), _write_share
    ),
    "share of bodies": Notation(
        _share("a share of all bodies as in 10%, or a size as in 10G"), _write_share
    ),
    "object size": Notation(_share("a size as in 10G, or a share of the cache as in 50%"), _write_share),
}
"""Each notation by its name, which the Annotated types in options.py carry."""


def choice(accepted: tuple[str, ...]) -> Notation:
    """The notation of a value that is one of these words."""

    def read(value: Any) -> str:
        if value not in accepted:
            raise _refusal(value, f"one of {', '.join(accepted)}")
        return str(value)

    return Notation(read, _unchanged)
