"""What this cache says of an answer: its members of Cache-Status (RFC 9211) and Proxy-Status (RFC 9209)."""

from __future__ import annotations

import re

from pyproxycache.errors import Fault, ProxyError
from pyproxycache.outcome import Outcome, Result

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_UNSENDABLE = re.compile(r"[^\x20-\x7e]")
_QUERY = re.compile(r"\?\S+")
_LONGEST_KEY = 1024
_LONGEST_DETAILS = 256


def cache_status(outcome: Outcome, name: str, *, with_key: bool) -> str:
    """The member for Cache-Status; the key only where it can be written, and is not too long."""
    parts = [name]
    if outcome.forward is not None:
        parts.append(f"fwd={outcome.forward.value}")
        if outcome.forward_status is not None:
            parts.append(f"fwd-status={outcome.forward_status}")
    elif outcome.result in (Result.HIT, Result.STALE):
        parts.append("hit")
    if outcome.ttl is not None:
        parts.append(f"ttl={outcome.ttl}")
    if outcome.forward is not None and outcome.stored:
        parts.append("stored")
    if outcome.forward is not None and outcome.collapsed:
        parts.append("collapsed")
    if outcome.detail:
        parts.append(f"detail={_bare(outcome.detail)}")
    key = outcome.key
    if with_key and key and len(key) <= _LONGEST_KEY and not _UNSENDABLE.search(key):
        parts.append(f"key={_string(key)}")
    return "; ".join(parts)


def proxy_status(error: ProxyError, name: str) -> str:
    """The member for Proxy-Status; "" where the error is not one of a proxy.

    What the cache's own errors say may name its folders, and a query may be secret: neither is told.
    """
    if not error.proxy_error:
        return ""
    member = f"{name}; error={error.proxy_error}"
    details = _QUERY.sub("?...", str(error))[:_LONGEST_DETAILS]
    return member if error.fault is Fault.CACHE else f"{member}; details={_string(details)}"


def _bare(text: str) -> str:
    """The text as a Token if it is one, else as a String (RFC 9651 section 4.1)."""
    return text if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    escaped = _UNSENDABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
