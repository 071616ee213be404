"""The report of a run, as JSON: what was downloaded, with digests, and what went past the cache."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyproxycache.cli.runs.records import Downloaded, Records
from pyproxycache.configuration.config import Config
from pyproxycache.errors import BadRequest, NoSpace
from pyproxycache.rules.urls import parse_url
from pyproxycache.wiring.stored import OpenStore, open_store


def write_report(path: Path, records: Records, config: Config, command: Sequence[str], status: int) -> None:
    """Write the report; raises OSError, or StoreError if the digests cannot be looked up.

    `status` is the command's wait status. Where there is no room for a store, there are no digests.
    """
    ordered = sorted(records.downloads.values(), key=lambda one: one.began)
    try:
        store = open_store(config.store)
    except NoSpace:
        downloads = [_shown(one, None) for one in ordered]
    else:
        with closing(store.database):
            downloads = [_shown(one, _digest(store, config, one)) for one in ordered]
    report = {
        "command": list(command),
        "exit_status": os.waitstatus_to_exitcode(status),
        "offline": config.fetch.offline,
        "requests": records.requests,
        "from_cache": records.hits,
        "bytes_saved": records.bytes_saved,
        "downloads": downloads,
        "tunnels": [asdict(one) for one in records.tunnels.values()],
        "failures": [
            {"url": url, "why": why, "requests": count} for (url, why), count in records.failures.items()
        ],
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def _shown(one: Downloaded, digest: str | None) -> dict[str, Any]:
    return {
        "url": one.url,
        "status": one.status,
        "size": one.size,
        "sha256": digest,
        "from_cache": one.from_cache,
        "requests": one.requests,
    }


def _digest(store: OpenStore, config: Config, one: Downloaded) -> str | None:
    """The sha256 of the body that was served, in hex; None if it is not stored, or not for sure.

    It is that of what is stored under the URL, if that was received before the answer ended, and has the
    same size; a range of it has no digest.
    """
    if one.status == 206:
        return None
    try:
        key = config.policies().about(parse_url(one.url)).key
    except BadRequest:
        return None
    found = {
        access.entry.digest
        for access in store.listing.accesses(key)
        if access.entry.part is None
        and access.entry.size == one.size
        and access.entry.response_time <= one.ended
    }
    return found.pop() if len(found) == 1 else None
