"""Ends flights of which nothing is stored, and leaves to a successor what can be resumed."""

from __future__ import annotations

from pyproxycache.errors import ClientGone, ProxyError, StoreError, UpstreamError
from pyproxycache.rules.representation import resumption_validator
from pyproxycache.store.ports import DownloadWriter
from pyproxycache.store.values import End


def give_up(writer: DownloadWriter, end: End, error: ProxyError | None) -> None:
    """End the flight, and leave what can be resumed to a successor."""
    if is_resumable(writer):
        writer.leave_for_successor(end, error)
    else:
        writer.finish(end, error=error)


def give_up_after(writer: DownloadWriter, error: BaseException | None) -> None:
    """End the flight by an error, which those who wait for it get.

    Without an error, and if it is only that the leader's client left, they look up again.
    """
    if error is None or isinstance(error, ClientGone | GeneratorExit):
        give_up(writer, End.LOST, None)
    else:
        give_up(writer, End.FAILED, _as_known(error))


def _as_known(error: BaseException) -> ProxyError:
    if isinstance(error, StoreError) or not isinstance(error, ProxyError):
        return UpstreamError("the cache failed")  # what it says is for the log alone
    return error


def is_resumable(writer: DownloadWriter) -> bool:
    """Whether the rest of the body can be asked for."""
    return (
        writer.entry is not None and writer.size > 0 and resumption_validator(writer.entry.head) is not None
    )
