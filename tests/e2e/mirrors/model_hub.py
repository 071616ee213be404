"""A repository of models with two files, as its hub shows it, and how huggingface_hub downloads it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from origin import Generated
from signing import SigningHost

COMMIT = "0a" * 20
CONFIG = b'{"model_type": "tiny"}'
MODEL = Generated(5_000_000, seed=3)
XET = [("X-Xet-Hash", "ab" * 32), ("X-Xet-Refresh-Route", "http://127.0.0.1:1/xet")]

SNAPSHOT = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download("org/tiny", max_workers=1))
"""


def put_model(signing: SigningHost, **options: Any) -> None:
    """Puts it there, the large file behind signed addresses; the options are those of the small one."""
    origin = signing.front
    large = {"oid": MODEL.sha256(), "size": MODEL.size, "pointerSize": 130}
    files = [
        {"type": "file", "oid": "1" * 40, "size": len(CONFIG), "path": "config.json"},
        {
            "type": "file",
            "oid": "2" * 40,
            "size": MODEL.size,
            "path": "model.bin",
            "lfs": large,
            "xetHash": "ab" * 32,
        },
    ]
    siblings = [{"rfilename": file["path"]} for file in files]
    info = {"_id": "1", "id": "org/tiny", "modelId": "org/tiny", "sha": COMMIT, "siblings": siblings}
    fields = [("Content-Type", "application/json; charset=utf-8")]
    for path in ("", "/revision/main", f"/revision/{COMMIT}"):
        origin.put(f"/api/models/org/tiny{path}", json.dumps(info).encode(), headers=fields, etag='W/"i"')
    origin.put(
        f"/api/models/org/tiny/tree/{COMMIT}", json.dumps(files).encode(), headers=fields, etag='W/"t"'
    )
    told = [("X-Repo-Commit", COMMIT), ("Vary", "Origin")]
    linked = [
        *told,
        *XET,
        ("X-Linked-Etag", f'"{MODEL.sha256()}"'),
        ("X-Linked-Size", str(MODEL.size)),
        ("Cache-Control", "no-store"),
    ]
    for revision in ("main", COMMIT):
        config = f"/org/tiny/resolve/{revision}/config.json"
        tag = f'"{hashlib.sha1(CONFIG).hexdigest()}"'
        origin.put(config, CONFIG, headers=told, etag=tag, **options)
        signing.put(f"/org/tiny/resolve/{revision}/model.bin", MODEL, headers=linked, etag='"s3-1"')
