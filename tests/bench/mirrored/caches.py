"""The caches that are compared, each as its documentation has it, without access logs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import yaml
from compare.servers import Ours, Server

from mirrored.upstream import port_of_four_digits

THREADS = 16
"""Of proxpi's server; clients here ask by ten connections at most."""


class OurMirrors(Ours):
    """With a mirror for each ecosystem; digests are checked, as by default."""

    def way_in(self) -> dict[str, object]:
        upstreams = {"apt": "debian", "pypi": "pypi", "npm": "npm"}
        mirrors = {
            name: {"ecosystem": name, "upstream": f"http://{self.origin}/{path}/"}
            for name, path in upstreams.items()
        }
        return {"listen": f"127.0.0.1:{self.port}", "store": {"reserve": 0}, "mirrors": mirrors}


class AptCacherNg(Server):
    """A proxy for apt, which knows no ports of five digits."""

    name = title = program = "apt-cacher-ng"

    def __init__(self, folder: Path, core: int, origin: str = "") -> None:
        super().__init__(folder, core, origin)
        self.port = port_of_four_digits()
        self.url = f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        for part in ("etc", "cache", "log"):
            (self.folder / part).mkdir()
        options = {
            "CacheDir": self.folder / "cache",
            "LogDir": self.folder / "log",
            "SupportDir": "/usr/lib/apt-cacher-ng",
            "SocketPath": "",
            "PidFile": self.folder / "pid",
            "BindAddress": "127.0.0.1",
            "Port": self.port,
            "ForeGround": 1,
            "VerboseLog": 0,
            "AllowUserPorts": 0,
        }
        lines = (f"{name}: {value}\n" for name, value in options.items())
        (self.folder / "etc" / "acng.conf").write_text("".join(lines))

    def command(self) -> list[str]:
        return [str(shutil.which(self.program)), "-c", str(self.folder / "etc")]

    @classmethod
    def version(cls) -> str:
        said = subprocess.run(
            ["dpkg-query", "-Wf${Version}", "apt-cacher-ng"], capture_output=True, text=True, check=False
        )
        return said.stdout.strip() or "of unknown version"


class Proxpi(Server):
    """proxpi in gunicorn with one worker, as its image runs it; `PROXPI` is that environment's gunicorn."""

    name = title = "proxpi"
    program = os.environ.get("PROXPI", "proxpi's gunicorn")

    def command(self) -> list[str]:
        place = ["--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--threads", str(THREADS)]
        return [self.program, *place, "--log-level", "error", "proxpi.server:app"]

    def environment(self) -> dict[str, str]:
        own = {
            "PROXPI_INDEX_URL": f"http://{self.origin}/pypi/simple/",
            "PROXPI_CACHE_DIR": str(self.folder / "cache"),
            "PROXPI_LOGGING_LEVEL": "ERROR",
        }
        return {name: text for name, text in super().environment().items() if name != "PYTHONPATH"} | own

    @classmethod
    def version(cls) -> str:
        asked = "import importlib.metadata as m; print(m.version('proxpi'))"
        python = str(Path(cls.program).with_name("python"))
        said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
        return said.stdout.strip() or "of unknown version"


class Verdaccio(Server):
    """With one uplink, of which it keeps archives, and nothing said but errors."""

    name = title = "verdaccio"
    program = os.environ.get("VERDACCIO", "verdaccio")

    def prepare(self) -> None:
        packages = {"access": "$all", "proxy": "upstream"}
        configuration = {
            "storage": str(self.folder / "storage"),
            "auth": {"htpasswd": {"file": str(self.folder / "htpasswd")}},
            "uplinks": {"upstream": {"url": f"http://{self.origin}/npm/", "cache": True}},
            "packages": {"**": packages},
            "log": {"type": "stdout", "format": "json", "level": "error"},
            "web": {"enable": False},
        }
        (self.folder / "verdaccio.yaml").write_text(yaml.safe_dump(configuration))

    def command(self) -> list[str]:
        configuration = str(self.folder / "verdaccio.yaml")
        return [self.program, "--config", configuration, "--listen", f"127.0.0.1:{self.port}"]

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([cls.program, "--version"], capture_output=True, text=True, check=False)
        return said.stdout.strip().lstrip("v") or "of unknown version"
