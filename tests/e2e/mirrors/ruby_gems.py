"""Two Ruby gems on an origin, with the compact index of both, made by the programs themselves."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from language_clients import VALIDATED, put_validated, ran, sha256, words, write
from origin import Origin

# What gem asks for beside the index, made by its own library.
_DEFLATED = """require "rubygems/package"
specification = Gem::Package.new("made.gem").spec
File.binwrite("made.rz", Zlib.deflate(Marshal.dump(specification)))
"""
_SPECIFICATION = """Gem::Specification.new do |spec|
  spec.name, spec.version = {name!r}, "{version}"
  spec.authors, spec.summary, spec.license = ["tests"], "tests", "MIT"
  spec.files = ["lib/{name}.rb"]
  {more}
end
"""


def put_gems(origin: Origin, root: str, folder: Path) -> dict[str, bytes]:
    """Puts `tiny`, which needs `low`, below a path of the origin; gives both by their paths."""
    found = {
        f"{root}gems/tiny-1.0.0.gem": built(folder / "tiny", "tiny", "1.0.0", needs="low"),
        f"{root}gems/low-0.3.1.gem": built(folder / "low", "low", "0.3.1"),
    }
    tiny, low = found.values()
    infos = {
        "tiny": f"---\n1.0.0 low:>= 0|checksum:{sha256(tiny)}\n".encode(),
        "low": f"---\n0.3.1 |checksum:{sha256(low)}\n".encode(),
    }
    versions = "created_at: 2024-01-01T00:00:00Z\n---\n"
    for (name, info), version in zip(infos.items(), ("1.0.0", "0.3.1"), strict=True):
        put_index(origin, f"{root}info/{name}", info)
        versions += f"{name} {version} {hashlib.md5(info).hexdigest()}\n"
    put_index(origin, f"{root}versions", versions.encode())
    put_index(origin, f"{root}names", b"---\nlow\ntiny\n")
    put_validated(origin, root, b"", "text/html")  # gem looks whether it is there
    for path, body in found.items():
        put_validated(origin, path, body, "application/octet-stream")
        made = folder / Path(path).name.partition("-")[0] / "made.rz"
        quick = f"{root}quick/Marshal.4.8/{Path(path).name}spec.rz"
        put_validated(origin, quick, made.read_bytes(), "application/octet-stream")
    return found


def built(folder: Path, name: str, version: str, needs: str = "", text: str = "") -> bytes:
    """A gem as the program makes it."""
    more = f'spec.add_runtime_dependency "{needs}"' if needs else ""
    specification = _SPECIFICATION.format(name=name, version=version, more=more)
    write(folder, {f"{name}.gemspec": specification, f"lib/{name}.rb": library(name, text)})
    for command in (["gem", "build", f"{name}.gemspec", "-o", "made.gem"], ["ruby", "-e", _DEFLATED]):
        done = ran(command, folder)
        assert done.returncode == 0, words(done)
    return (folder / "made.gem").read_bytes()


def library(name: str, text: str = "") -> str:
    """What is in the only file of a gem."""
    return f"{name.upper()} = 1 # {text}\n"


def put_index(origin: Origin, path: str, content: bytes) -> None:
    """A file of the index, with its digest, as clients check it after they have appended a part."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Repr-Digest", f"sha-256=:{digest}:")]
    origin.put(path, content, headers=fields, etag=f'"{hashlib.md5(content).hexdigest()}"', **VALIDATED)
