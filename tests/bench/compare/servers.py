"""The caches that are compared, each run by itself in a folder of its own, and the origin behind them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import yaml
from certificates import make_certificate
from harness import Reply, fetch

from compare.processes import Port, Tree

PEERS = Path(__file__).parent.parent / "peers"
THREADS = 512
"""As by default: slow readers need none."""
MEMORY = Path("/dev/shm")


def filled(template: str, values: Mapping[str, object]) -> str:
    """A configuration out of tests/bench/peers, its @NAMES@ replaced; KeyError for one without a value."""
    return re.sub(r"@([A-Z_]+)@", lambda match: str(values[match[1]]), (PEERS / template).read_text())


class Server:
    """A program that listens on `url` while it runs: `with Nginx(folder, core=0, origin=address)`.

    `origin` is "host:port"; `trusted` has the certificate of an origin in TLS. What a subclass says is how
    it is set up and called. `caches`: what it is asked for again does not come from the origin.
    """

    name = title = program = ""
    scheme = "http"
    caches = True

    def __init__(
        self, folder: Path, core: int, origin: str = "", log: bool = False, trusted: Path | None = None
    ) -> None:
        self.folder = folder
        self.core, self.origin, self.log, self.trusted = core, origin, log, trusted
        self._port = Port()
        self.port = self._port.number
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self.output = folder / "output"
        self._trees: list[Tree] = []

    def __enter__(self) -> Self:
        """Starts it; RuntimeError with what it printed where that fails."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            if shutil.which(self.program) is None:
                raise RuntimeError(f"{self.program} is not installed: apt-get install {self.name}")
            self.prepare()
            self.run(*self.command())
            self._trees[0].wait_accepting(self.port)
            self.accompany()
        except (OSError, RuntimeError, subprocess.CalledProcessError) as failure:
            self.close()
            said = self.output.read_text(errors="replace")[-2000:] if self.output.exists() else ""
            raise RuntimeError(f"{self.title} does not start: {failure}\n{said}".rstrip()) from failure
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves no process, no port and no file."""
        for tree in self._trees:
            tree.stop()
        self._trees.clear()
        self._port.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fetch(self, path: str) -> Reply:
        """The answer to a request, on a connection of its own."""
        return fetch(None, self.url + path)

    def run(self, *command: str) -> None:
        """Starts one of its programs on its core."""
        self._trees.append(Tree(command, self.core, self.output, self.environment()))

    def memory(self) -> int:
        """Bytes (PSS) of all its processes."""
        return sum(tree.memory() for tree in self._trees)

    def cpu(self) -> float:
        """CPU seconds of all its processes."""
        return sum(tree.cpu() for tree in self._trees)

    def values(self) -> dict[str, object]:
        """What its configuration may name."""
        host, _colon, port = self.origin.partition(":")
        return {
            "FOLDER": self.folder,
            "PORT": self.port,
            "ORIGIN": self.origin,
            "ORIGIN_HOST": host,
            "ORIGIN_PORT": port,
        }

    def configure(self, template: str, **values: object) -> Path:
        """Writes its configuration; returns where."""
        path = self.folder / template
        path.write_text(filled(template, {**self.values(), **values}))
        return path

    def environment(self) -> dict[str, str]:
        """This process's, without proxies and without our own variables."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith("PYPROXYCACHE_")
        }

    def prepare(self) -> None:
        """Writes what the command needs."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def accompany(self) -> None:
        """Starts what runs beside it."""

    def is_hit(self, reply: Reply) -> bool:
        """Whether the answer says that it came from the cache."""
        return "HIT" in (reply.get("X-Cache") or "")

    @classmethod
    def version(cls) -> str:
        """As the program tells it."""
        said = subprocess.run([cls.program, "-v"], capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+[.\d]*", said.stdout + said.stderr)
        return found[0] if found else "of unknown version"


class Nginx(Server):
    name, title, program = "nginx", "nginx", "nginx"

    def prepare(self) -> None:
        log = f"access_log {self.folder}/access.log combined buffer=64k flush=1s;" if self.log else ""
        self.configure("nginx.conf", ACCESS_LOG=log or "access_log off;", **self.tls(), **self.gates())

    def tls(self) -> dict[str, object]:
        """What its listener speaks, and by which certificate."""
        return {"SSL": "", "CERTIFICATE": ""}

    def gates(self) -> dict[str, object]:
        """What lets requests in."""
        return {"ZONES": "", "TOKEN_CHECK": "", "GATES": ""}

    def command(self) -> list[str]:
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]


class Squid(Server):
    name, title, program = "squid", "Squid", "squid"

    def prepare(self) -> None:
        log = f"access_log daemon:{self.folder}/access.log squid" if self.log else "access_log none"
        configuration = self.configure(
            "squid.conf", ACCESS_LOG=log, IN_MEMORY="16 MB", WAY_IN=self.way_in()
        )
        if os.geteuid() == 0:  # which Squid gives up for this user
            shutil.chown(self.folder, "proxy", "proxy")
        self._call = ["squid", "-N", "-f", str(configuration), "-n", f"bench{self.port}"]
        subprocess.run([*self._call, "-z"], check=True, capture_output=True, cwd=self.folder)

    def way_in(self) -> str:
        """How clients ask it."""
        return filled("squid-reverse.conf", self.values())

    def command(self) -> list[str]:
        return self._call

    def close(self) -> None:
        super().close()
        for left in MEMORY.glob(f"bench{self.port}-*"):  # shared memory, named after the service
            left.unlink()


class Varnish(Server):
    name, title, program = "varnish", "Varnish", "varnishd"

    def prepare(self) -> None:
        self.configure("varnish.vcl")
        # Its documentation wants the shared memory log on a file system in memory.
        place = MEMORY if MEMORY.is_dir() else self.folder
        self._work = Path(tempfile.mkdtemp(prefix="bench-varnish-", dir=place))

    def command(self) -> list[str]:
        vcl, address = str(self.folder / "varnish.vcl"), f"127.0.0.1:{self.port}"
        runs = ["varnishd", "-F", "-j", "none", "-n", str(self._work), "-a", address, "-f", vcl]
        return [*runs, "-s", "malloc,4G"]

    def accompany(self) -> None:
        if self.log:
            self.run("varnishncsa", "-n", str(self._work), "-w", str(self.folder / "access.log"))

    def close(self) -> None:
        super().close()
        shutil.rmtree(getattr(self, "_work", self.folder), ignore_errors=True)

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([cls.program, "-V"], capture_output=True, text=True, check=False)
        found = re.search(r"varnish-([\d.]+)", said.stdout + said.stderr)
        return found[1] if found else super().version()


class Ours(Server):
    name, title, program = "ours", "pyproxycache", sys.executable
    python = sys.executable

    def prepare(self) -> None:
        log = {"access": str(self.folder / "access.log")} if self.log else {}
        (self.folder / "cache.yaml").write_text(yaml.safe_dump({"log": log, **self.way_in()}))

    def way_in(self) -> dict[str, object]:
        """How clients ask it, as keys of its configuration."""
        return {"listen": f"127.0.0.1:{self.port}", "upstream": f"http://{self.origin}"}

    def command(self) -> list[str]:
        serve = [self.python, "-m", "pyproxycache", "serve", "-c", str(self.folder / "cache.yaml")]
        serve += ["--cache-dir", str(self.folder / "cache")]
        return [*serve, "--workers", "1", "--threads", str(THREADS)]

    def is_hit(self, reply: Reply) -> bool:
        return "; hit" in (reply.get("Cache-Status") or "")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run(
            [cls.python, "-c", "import pyproxycache as p; print(p.__version__)"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        return said.stdout.strip()


class Before(Ours):
    """The same program as it was: `python` is that of a checkout in which another version is installed."""

    name, title = "before", "before"

    def environment(self) -> dict[str, str]:
        """Without what would put this version in the place of the other."""
        return {name: value for name, value in super().environment().items() if name != "PYTHONPATH"}


class FastOrigin(Server):
    """nginx with files of 1 KB, 100 KB and 10 MB, and a body of 1 KB under each URL below /miss/.

    It speaks TLS as well, at `secure`, as "localhost" with a `certificate` of its own.
    """

    name, title, program = "nginx", "the origin", "nginx"
    files: Mapping[str, int] = {"1k": 1 << 10, "100k": 100 << 10, "10m": 10 << 20}

    def __init__(self, folder: Path, core: int) -> None:
        super().__init__(folder, core)
        self._secure_port = Port()
        self.secure = f"localhost:{self._secure_port.number}"
        self.certificate = folder / "certificate.pem"

    def close(self) -> None:
        super().close()
        self._secure_port.close()

    def prepare(self) -> None:
        make_certificate(self.folder, "DNS:localhost")
        self.configure("origin.conf", FILLER="x" * 1000, SECURE_PORT=self._secure_port.number)
        (self.folder / "files").mkdir()
        for name, size in self.files.items():
            (self.folder / "files" / name).write_bytes(os.urandom(size))

    def command(self) -> list[str]:
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "origin.conf")]

    def asked(self) -> int:
        """How often one of the files was asked for so far."""
        return (self.folder / "asked.log").read_bytes().count(b"\n")

    def requests(self) -> int:
        """How many requests of any kind it got so far, this one included."""
        return int(fetch(None, f"{self.url}/count").body.split()[9])


SERVERS: Mapping[str, type[Server]] = {
    server.name: server for server in (Ours, Nginx, Squid, Varnish, Before)
}
