"""Builds the server's own log, and the access log."""

from __future__ import annotations

import logging
import sys

from pyproxycache.background import Count
from pyproxycache.options import LogOptions
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.formats import FORMATS
from pyproxycache.report.repetition_filter import RepetitionFilter
from pyproxycache.report.sinks import sink

_LOG_FORMAT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
_LOG_TIME = "%Y-%m-%d %H:%M:%S %z"


def set_up_logging(level: str) -> None:
    """Send the package's log to standard error, in the form of gunicorn's own."""
    package = logging.getLogger("pyproxycache")
    package.setLevel(level.upper())
    package.propagate = False
    if not package.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_LOG_FORMAT, _LOG_TIME))
        handler.addFilter(RepetitionFilter())
        package.addHandler(handler)


def build_access_log(options: LogOptions, count: Count) -> AccessLog | None:
    """Build the access log; None if the configuration has none."""
    if options.access is None:
        return None
    return AccessLog(sink(options.access), FORMATS[options.format], query=options.query, count=count)
