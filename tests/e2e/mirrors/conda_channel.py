"""A package of conda's kind, and how rattler installs it."""

from __future__ import annotations

import hashlib
import json

from archives import tarred

PACKAGE = "tiny-1.0-0.tar.bz2"

# Installs a package: solves with what the channel's indexes say, downloads, and checks.
INSTALL = """
import asyncio, os, pathlib, sys
from rattler import Gateway, install, solve
from rattler.repo_data.gateway import SourceConfig

async def main(channel, sharded):
    here = pathlib.Path.cwd()
    config = SourceConfig(sharded_enabled=sharded == "shards", jlap_enabled=False)
    gateway = Gateway(cache_dir=here / "repodata", default_config=config)
    records = await solve([channel], ["tiny"], gateway=gateway, platforms=["noarch"])
    await install(records, here / "prefix", cache_dir=here / "packages", show_progress=False)
    print(*(record.url for record in records), flush=True)

asyncio.run(main(*sys.argv[1:]))
os._exit(0)
"""


_RECORD = {
    "name": "tiny",
    "version": "1.0",
    "build": "0",
    "build_number": 0,
    "depends": [],
    "noarch": "generic",
    "subdir": "noarch",
    "timestamp": 1700000000000,
}


def repodata(archive: bytes) -> bytes:
    """The index of a channel that has this package alone."""
    record = {**_RECORD, "sha256": hashlib.sha256(archive).hexdigest(), "size": len(archive)}
    packages = {"packages": {PACKAGE: record}, "packages.conda": {}}
    return json.dumps({"info": {"subdir": "noarch"}, **packages}).encode()


def package(text: bytes = b"tiny\n") -> bytes:
    name = "share/tiny.txt"
    file = {
        "_path": name,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(text).hexdigest(),
        "size_in_bytes": len(text),
    }
    paths = {"paths": [file], "paths_version": 1}
    return tarred(
        {
            "info/index.json": json.dumps(_RECORD).encode(),
            "info/paths.json": json.dumps(paths).encode(),
            "info/files": f"{name}\n".encode(),
            name: text,
        },
        "bzip2",
    )
