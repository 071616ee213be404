"""Normalised values of the request fields that responses vary on: one form for all that mean the same.

RFC 9111 section 4.1 allows to normalise white space, combined lines, and what the field's own definition
calls equal: for content negotiation RFC 9110 section 12.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pyproxycache.rules.grammar import cached_while_short, split_list

NEGOTIATING = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})
"""Request fields that only choose among representations (RFC 9110 section 12.5)."""

# Fields with one value, where a comma is no separator, so that blanks around it may matter.
_SINGLE = frozenset({"authorization", "cookie", "from", "host", "origin", "referer", "user-agent"})

_QUOTED_OR = r'"(?:[^"\\]|\\.)*"?|'
_COMMA = re.compile(_QUOTED_OR + ",", re.DOTALL)
_SEMICOLON = re.compile(_QUOTED_OR + ";", re.DOTALL)

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAME = re.compile(_TOKEN)
_LANGUAGE_RANGE = re.compile(r"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_MEDIA_RANGE = re.compile(rf"{_TOKEN}/{_TOKEN}")
_PARAMETER = re.compile(rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")', re.DOTALL)
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

# Names from before there were standards (RFC 9110 sections 8.4.1.1 and 8.4.1.3).
_CODING_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}


@cached_while_short
def canonical(name: str, value: str) -> str:
    """The field's value in normal form; `name` is in lower case."""
    if name in _SINGLE:
        return value.strip(" \t")
    member = _PREFERENCES.get(name)
    preferences = None if member is None else _preferences(value, member)
    if preferences is not None:
        return preferences
    return ", ".join(item.strip(" \t") for item in _split(_COMMA, value))


def _preferences(value: str, member: Callable[[str], str | None]) -> str | None:
    """The members with their weights, the heaviest first; None if one of them is invalid.

    The order of members of equal weight has no meaning (RFC 9110 sections 12.4.2 and 12.5.4).
    """
    weighted = set()
    for item in split_list(value):
        bare, weight = _without_weight(item)
        preferred = member(bare)
        if weight is None or preferred is None:
            return None
        weighted.add((-weight, preferred))
    return ", ".join(text if weight == -1 else f"{text};q={-weight:g}" for weight, text in sorted(weighted))


def _without_weight(item: str) -> tuple[str, float | None]:
    """The member without its weight, and the weight: 1 if there is none, None if it is invalid.

    A parameter "q" is the weight wherever it stands (RFC 9110 section 12.5.1).
    """
    first, *parameters = (part.strip(" \t") for part in _split(_SEMICOLON, item))
    weights = [part[2:] for part in parameters if part[:2].lower() == "q="]
    others = [part for part in parameters if part and part[:2].lower() != "q="]
    valid = len(weights) < 2 and all(_QVALUE.fullmatch(weight) for weight in weights)
    return ";".join([first, *others]), float((weights or ["1"])[0]) if valid else None


def _language(text: str) -> str | None:
    return text.lower() if _LANGUAGE_RANGE.fullmatch(text) else None


def _charset(text: str) -> str | None:
    return text.lower() if _NAME.fullmatch(text) else None


def _coding(text: str) -> str | None:
    name = _charset(text)
    return None if name is None else _CODING_ALIASES.get(name, name)


def _media_range(text: str) -> str | None:
    """The media range with type and parameter names in lower case, values unchanged; None if invalid.

    RFC 9110 section 8.3.1.
    """
    kind, *parameters = _split(_SEMICOLON, text)
    matches = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
    if _MEDIA_RANGE.fullmatch(kind) is None or None in matches:
        return None
    return ";".join([kind.lower(), *(f"{match[1].lower()}={match[2]}" for match in matches if match)])


def accepts_coding(accept_encoding: str | None, content_encoding: str | None) -> bool:
    """Whether Accept-Encoding accepts content with this Content-Encoding (None: without one).

    Stricter than RFC 9110 section 12.5.3: a coding that is not named is not accepted.
    """
    weights = _coding_weights(accept_encoding)
    any_coding = weights.get("*", 0.0)
    codings = content_codings(content_encoding)
    if not codings:
        return weights.get("identity", weights.get("*", 1.0)) > 0
    return all(weights.get(name, any_coding) > 0 for name in codings)


def preferred_coding(accept_encoding: str | None, codings: Iterable[str]) -> str:
    """The coding that Accept-Encoding likes best, the first of those that it likes alike; "" for none.

    Content that is not coded comes last, unless the client likes it more (RFC 9110 section 12.5.3).
    """
    weights = _coding_weights(accept_encoding)
    any_coding = weights.get("*", 0.0)
    liked = max(codings, key=lambda one: weights.get(one, any_coding), default="")
    weight = weights.get(liked, any_coding)
    return liked if weight > 0 and weight >= weights.get("identity", 0.0) else ""


def _coding_weights(accept_encoding: str | None) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in split_list(accept_encoding or ""):
        bare, weight = _without_weight(item)
        if (name := _coding(bare)) is not None:
            weights[name] = weight or 0.0
    return weights


def accepts_type(accept: str | None, content_type: str | None) -> bool:
    """Whether Accept accepts content of this type (None: of an unknown one); parameters are left out.

    RFC 9110 section 12.5.1: of the ranges that fit, the most specific one decides.
    """
    if not split_list(accept or ""):
        return True
    media_type = (content_type or "").partition(";")[0].strip().lower()
    specific = {media_type: 2, f"{media_type.partition('/')[0]}/*": 1, "*/*": 0}
    best = (-1, 0.0)
    for item in split_list(accept or ""):
        bare, weight = _without_weight(item)
        found = specific.get(bare.partition(";")[0].strip().lower())
        if found is not None:
            best = max(best, (found, weight or 0.0))
    return best[1] > 0


def content_codings(content_encoding: str | None) -> tuple[str, ...]:
    """The codings in a Content-Encoding, aliases resolved, without "identity" (RFC 9110 section 8.4)."""
    names = [name.lower() for name in split_list(content_encoding or "")]
    return tuple(_CODING_ALIASES.get(name, name) for name in names if name != "identity")


_PREFERENCES: dict[str, Callable[[str], str | None]] = {
    "accept": _media_range,
    "accept-charset": _charset,
    "accept-encoding": _coding,
    "accept-language": _language,
}


def _split(separator: re.Pattern[str], text: str) -> list[str]:
    """The text split at separators that are not in quotes, empty pieces included."""
    pieces, start = [], 0
    for match in separator.finditer(text):
        if not match[0].startswith('"'):
            pieces.append(text[start : match.start()])
            start = match.end()
    return [*pieces, text[start:]]
