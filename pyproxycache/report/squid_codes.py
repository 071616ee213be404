"""Outcomes as Squid's result codes and hierarchy codes."""

from __future__ import annotations

from pyproxycache.outcome import Forward, Outcome, Result

_FROM_CACHE = {Result.HIT, Result.COLLAPSED, Result.INTERCEPTED, Result.LOCAL, Result.REFUSED}


def result_code(outcome: Outcome) -> str:
    """Squid's result code: protocol, CF if collapsed, result, and ABORTED if the answer did not end."""
    protocol, result = _result(outcome)
    collapsed = "CF_" if outcome.collapsed and protocol == "TCP" else ""
    return f"{protocol}_{collapsed}{result}{'_ABORTED' if outcome.aborted else ''}"


def _result(outcome: Outcome) -> tuple[str, str]:
    match outcome.result:
        case Result.HIT:
            return "TCP", _hit(outcome)
        case Result.COLLAPSED:
            return "TCP", "HIT"
        case Result.REVALIDATED:
            return "TCP", "REFRESH_UNMODIFIED"
        case Result.STALE:
            return "TCP", "HIT" if outcome.forward is None else "REFRESH_FAIL_OLD"
        case Result.FAILED if outcome.forward is Forward.STALE and not outcome.aborted:
            return "TCP", "REFRESH_FAIL_ERR"
        case Result.TUNNELLED:
            return "TCP", "TUNNEL"
        case Result.FAILED if outcome.method == "CONNECT":
            return "TCP", "TUNNEL"
        case Result.REFUSED if outcome.status in (403, 407, 429):
            return "TCP", "DENIED"
        case Result.REFUSED if outcome.status == 504:  # only-if-cached, and nothing was stored
            return "TCP", "MISS"
        case Result.REFUSED | Result.LOCAL | Result.INTERCEPTED:
            return "NONE", "NONE"
    return "TCP", _miss(outcome)


def _hit(outcome: Outcome) -> str:
    if outcome.status == 304:
        return "IMS_HIT"
    # 412 and 416 are about the client's own conditions and ranges: what is stored is no error.
    return "NEGATIVE_HIT" if outcome.status >= 400 and outcome.status not in (412, 416) else "HIT"


def _miss(outcome: Outcome) -> str:
    match outcome.forward:
        case Forward.REQUEST:
            return "CLIENT_REFRESH_MISS"
        case Forward.STALE:
            return "REFRESH_MODIFIED"
    return "MISS"


def hierarchy(outcome: Outcome) -> str:
    """Squid's hierarchy code: how the answer was got, and the address it came from."""
    if not outcome.peer or outcome.result in _FROM_CACHE:
        return "HIER_NONE/-"
    return f"{'FIRSTUP_PARENT' if outcome.through_parent else 'HIER_DIRECT'}/{outcome.peer}"
