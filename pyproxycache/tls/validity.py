"""From when and until when a certificate is valid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


class Validity(NamedTuple):
    """The first and the last second in which a certificate is valid (epoch seconds)."""

    begin: float
    end: float

    def __str__(self) -> str:
        """From which day to which, for people."""
        return f"{day(self.begin)} to {day(self.end)}"


def day(seconds: float) -> str:
    """The day of a time (epoch seconds), in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def minute(seconds: float) -> str:
    """The day and minute of a time (epoch seconds), in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def validity_of(certificate: bytes) -> Validity:
    """The validity in a certificate in DER (RFC 5280 section 4.1); raises ValueError if it is none."""
    try:
        whole, _rest = _element(certificate, _SEQUENCE)
        fields, _rest = _element(whole, _SEQUENCE)
        if fields[0] == _VERSION:
            fields = _element(fields)[1]
        for _passed_over in ("serial number", "algorithm", "issuer"):
            fields = _element(fields)[1]
        times, _rest = _element(fields, _SEQUENCE)
        begin, rest = _time(times)
        return Validity(begin, _time(rest)[0])
    except IndexError as error:
        raise ValueError("the certificate ends early") from error


def _element(data: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """The content of the first element, and what is behind it; ValueError if it has another tag."""
    if tag is not None and data[0] != tag:
        raise ValueError(f"the certificate has an element {data[0]} for one {tag}")
    begin, length = 2, data[1]
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[2:begin], "big")
    return data[begin : begin + length], data[begin + length :]


def _time(data: bytes) -> tuple[float, bytes]:
    form = "%y%m%d%H%M%SZ" if data[0] == _UTC_TIME else "%Y%m%d%H%M%SZ"
    text, rest = _element(data)
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp(), rest
