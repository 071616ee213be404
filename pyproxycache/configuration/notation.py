"""How values are written in the configuration: each kind of value, read from YAML and written back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pyproxycache.configuration import places, secrets
from pyproxycache.configuration.notations import (
    event_notation,
    introspection_notation,
    limit_notation,
    mirror_notation,
    route_notation,
)
from pyproxycache.configuration.refusals import refusal
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.repositories import Verify
from pyproxycache.options import Share
from pyproxycache.units import AGE_UNITS, SIZE_UNITS, parse_age, parse_size

_STATUS = re.compile(r"[1-5](?:\d\d|xx)")
_UP_TO = " up to "
_DIGITS = re.compile(r"[0-9]{1,18}")
_ACCOUNT = re.compile(r"[0-9]{1,9}|[A-Za-z_][A-Za-z0-9_.-]{0,254}\$?")
_FINGERPRINT = re.compile(
    r"(?:sha-?256(?: fingerprint)?[:=])? *((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", re.IGNORECASE
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Notation(NamedTuple):
    """How one kind of value is written: `read` converts plain YAML data to it, `write` converts it back.

    `read` raises ValueError, which names the value and what is accepted.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _plain_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(value: Any) -> int:
    size = parse_size(value) if isinstance(value, str) else value
    if not _plain_number(size) or not 0 <= size < 1 << 63:
        raise refusal(value, "a size: a number, alone or with K, M, G or T behind it, as in 200G")
    return int(size)


def _age(value: Any) -> float:
    age = parse_age(value) if isinstance(value, str) else value
    if not _plain_number(age) or not (age >= 0 and math.isfinite(age)):
        raise refusal(value, "an age: a number, alone or with s, m, h, d or w behind it, as in 30d")
    return float(age)


def _timeout(value: Any) -> float:
    age = _age(value)
    if age == 0:
        raise refusal(value, "a timeout: an age above zero, as in 10s")
    return age


def _count(value: Any) -> int:
    count = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise refusal(value, "a count: a whole number from 1")
    return count


def _port(value: Any) -> int:
    port = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise refusal(value, "a port: a whole number from 1 to 65535")
    return port


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise refusal(value, "true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise refusal(value, "text: put it in quotes")
    return value


def _realm(value: Any) -> str:
    text = _text(value)
    if not text.isascii() or not text.isprintable():
        raise refusal(value, "a realm: text of printable ASCII")
    return text


def _account(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool | float) or not _ACCOUNT.fullmatch(text):
        raise refusal(value, "a user of this machine: a name or a number, as in www-data or 33")
    return text


def _write_account(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _access_log(value: Any) -> str:
    if isinstance(value, str) and value.startswith("syslog:"):
        place = value.removeprefix("syslog:")
        if place and not place.startswith("/") and not places.is_host_and_port(place):
            raise refusal(value, "syslog:, syslog:/path/to/socket or syslog:host:port")
        return value
    if value == "-":
        return "-"
    try:
        return str(places.read_path(value))
    except ValueError:
        accepted = "a path, as in /var/log/pyproxycache.log, '-' or 'syslog:'"
        raise refusal(value, accepted) from None


def _pattern(flags: int) -> Callable[[Any], re.Pattern[str]]:
    def read(value: Any) -> re.Pattern[str]:
        try:
            return re.compile(_text(value), flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise refusal(value, rf"a regular expression, as in '\.deb$' ({error})") from error

    return read


def _status(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool | float) or not _STATUS.fullmatch(text):
        raise refusal(value, "a status: 404, or 4xx for all from 400 to 499")
    return text


def status_codes(status: str) -> tuple[int, ...]:
    """The codes that "404" or "4xx" stands for."""
    if status.endswith("xx"):
        return tuple(range(int(status[0]) * 100, int(status[0]) * 100 + 100))
    return (int(status),)


def _field_name(value: Any) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise refusal(value, "a header field's name, as in set-cookie")
    return value.lower()


def _fingerprint(value: Any) -> str:
    found = _FINGERPRINT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise refusal(
            value,
            "a fingerprint: the SHA-256 of a certificate, as openssl x509 -fingerprint -sha256 prints it",
        )
    return bytes.fromhex(found[1].replace(":", "")).hex(":").upper()


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
        raise refusal(value, "any or a status: 404, or 4xx for all from 400 to 499") from None


def _write_lifetime(value: float | tuple[tuple[str, float], ...]) -> Any:
    if isinstance(value, tuple):
        return {_write_status(status): _write_age(age) for status, age in value}
    return _write_age(value)


def _share(accepted: str) -> Callable[[Any], Share]:
    def read(value: Any) -> Share:
        try:
            if not (isinstance(value, str) and "%" in value):
                return Share(size=_size(value))
            percent, is_limited, most = value.partition(_UP_TO)
            share = Share(
                percent=float(percent.removesuffix("%")), most=_size(most) if is_limited else None
            )
        except ValueError:
            share = Share(percent=math.nan)
        if not 0 <= share.percent <= 100:
            raise refusal(value, accepted)
        return share

    return read


def _write_share(share: Share) -> Any:
    if not share.percent:
        return _write_size(share.size)
    limit = "" if share.most is None else f"{_UP_TO}{_write_size(share.most)}"
    return f"{share.percent}".removesuffix(".0") + "%" + limit


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


def choice(accepted: tuple[str, ...]) -> Notation:
    """The notation of a value that is one of these words."""

    def read(value: Any) -> str:
        if value is False and "off" in accepted:  # as YAML reads off without quotes
            return "off"
        if value not in accepted:
            raise refusal(value, f"one of {', '.join(accepted)}")
        return str(value)

    return Notation(read, _unchanged)


NOTATIONS = {
    "size": Notation(_size, _write_size),
    "age": Notation(_age, _write_age),
    "timeout": Notation(_timeout, _write_age),
    "count": Notation(_count, _unchanged),
    "port": Notation(_port, _unchanged),
    "switch": Notation(_switch, _unchanged),
    "text": Notation(_text, _unchanged),
    "realm": Notation(_realm, _unchanged),
    "account": Notation(_account, _write_account),
    "path": Notation(places.read_path, str),
    "network": Notation(places.read_network, str),
    "host or network": Notation(places.read_exception, str),
    "host pattern": Notation(places.read_host_pattern, _unchanged),
    "ecosystem": choice(tuple(sorted(ECOSYSTEMS))),
    "credentials": Notation(mirror_notation.read_credentials, _unchanged),
    "verify": choice(tuple(one.value for one in Verify)),
    "mirror name": Notation(mirror_notation.read_mirror_name, _unchanged),
    "database name": Notation(mirror_notation.read_database_name, _unchanged),
    "package pattern": Notation(mirror_notation.read_package_pattern, _unchanged),
    "blocked package": Notation(mirror_notation.read_blocked_package, _unchanged),
    "url path": Notation(mirror_notation.read_url_path, _unchanged),
    "route path": Notation(route_notation.read_route_path, _unchanged),
    "host name": Notation(route_notation.read_host_name, _unchanged),
    "method": Notation(route_notation.read_method, _unchanged),
    "changed field": Notation(route_notation.read_changed_field, _unchanged),
    "named field": Notation(route_notation.read_named_field, _unchanged),
    "header value": Notation(route_notation.read_header_value, _unchanged),
    "path replacement": Notation(route_notation.read_path_replacement, _unchanged),
    "page origin": Notation(route_notation.read_page_origin, _unchanged),
    "media type": Notation(route_notation.read_media_type, _unchanged),
    "error status": Notation(route_notation.read_error_status, _unchanged),
    "health path": Notation(route_notation.read_health_path, _unchanged),
    "percent": Notation(route_notation.read_percent, route_notation.write_percent),
    "address": Notation(places.read_address, _unchanged),
    "TCP address": Notation(places.read_tcp_address, _unchanged),
    "access log": Notation(_access_log, _unchanged),
    "origin url": Notation(places.read_origin_url, str),
    "proxy url": Notation(places.read_proxy_url, str),
    "parent url": Notation(places.read_parent_url, str),
    "AMQP url": Notation(event_notation.read_amqp_url, _unchanged),
    "webhook url": Notation(event_notation.read_webhook_url, _unchanged),
    "short name": Notation(event_notation.read_short_name, _unchanged),
    "parameter name": Notation(event_notation.read_parameter_name, _unchanged),
    "pattern": Notation(_pattern(0), _regex_text),
    "caseless pattern": Notation(_pattern(re.IGNORECASE), _regex_text),
    "status": Notation(_status, _write_status),
    "token place": Notation(
        introspection_notation.read_token_place, introspection_notation.write_token_place
    ),
    "limited by": Notation(limit_notation.read_limited_by, limit_notation.write_limited_by),
    "limit name": Notation(limit_notation.read_limit_name, _unchanged),
    "rate count": Notation(limit_notation.read_rate_count, _unchanged),
    "rate period": Notation(limit_notation.read_rate_period, _write_age),
    "endpoint url": Notation(introspection_notation.read_endpoint_url, _unchanged),
    "token template": Notation(introspection_notation.read_token_template, _unchanged),
    "member path": Notation(introspection_notation.read_member_path, _unchanged),
    "marker value": Notation(introspection_notation.read_marker_value, _unchanged),
    "scope name": Notation(introspection_notation.read_scope_name, _unchanged),
    "key set": Notation(introspection_notation.read_key_set, str),
    "secret": Notation(secrets.read_secret, _unchanged),
    "text with secrets": Notation(secrets.read_text_with_secrets, _unchanged),
    "field name": Notation(_field_name, _unchanged),
    "fingerprint": Notation(_fingerprint, _unchanged),
    "lifetime": Notation(_lifetime, _write_lifetime),
    "reserve": Notation(
        _share("a reserve: a share of the disk as in 5% or 5% up to 4G, or a size as in 10G"), _write_share
    ),
    "share of bodies": Notation(
        _share("a share of all bodies as in 10%, or a size as in 10G"), _write_share
    ),
    "object size": Notation(_share("a size as in 10G, or a share of the cache as in 50%"), _write_share),
}
"""Each notation by its name, which the Annotated types of options carry."""
