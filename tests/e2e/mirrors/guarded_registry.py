"""Debian's docker-registry with one image, which takes tokens, and the server that gives them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import shutil
import socket
import subprocess
import tarfile
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from harness import clean_environment
from origin import Asked, Origin, Resource
from waiting import until

SERVICE = "registry.test"
MISSING = [name for name in ("docker-registry", "skopeo") if shutil.which(name) is None]
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class TokenServer:
    """Gives tokens that the registry takes, and remembers who asked; `users`: user:password, None for all.

    `lifetime` is in seconds, and `answer`, where there is one, is given instead.
    """

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens.test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / "tokens.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        self.users: set[str] | None = None
        self.lifetime = 300.0
        self.answer: Resource | None = None
        self.given: list[str] = []
        self.origin = Origin()

    def __enter__(self) -> Self:
        self.origin.start()
        self.origin.put("/token", handler=self._answer)
        return self

    def __exit__(self, *exc: object) -> None:
        self.origin.stop()

    @property
    def asked(self) -> list[Asked]:
        return self.origin.asked("/token")

    def _answer(self, asked: Asked) -> Resource:
        if self.answer is not None:
            return self.answer
        shown = asked.get("Authorization")
        known = {f"Basic {base64.b64encode(one.encode()).decode()}" for one in self.users or ()}
        if self.users is not None and shown not in known:
            return Resource(b'{"details": "who are you?"}', status=401)
        query = parse_qs(asked.target.partition("?")[2])
        token = self._token([scope for value in query.get("scope", ()) for scope in value.split()])
        self.given.append(token)
        body = json.dumps({"token": token, "expires_in": self.lifetime}).encode()
        return Resource(body, headers=[("Content-Type", "application/json")])

    def _token(self, scopes: list[str]) -> str:
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": "tokens.test",
            "sub": "",
            "aud": SERVICE,
            "exp": now + 3600,
            "nbf": now - 60,
            "iat": now,
            "jti": str(len(self.given)),
            "access": access,
        }
        said = ".".join(map(_packed, ({"typ": "JWT", "alg": "RS256", "x5c": self._chain}, claims)))
        signature = self._key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{said}.{_encoded(signature)}"


def _packed(value: Any) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class GuardedRegistry:
    """The registry, on a port that stays the same over stop() and start(); it has lib/tiny:1."""

    def __init__(self, folder: Path, tokens: TokenServer) -> None:
        folder.mkdir()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        realm = tokens.origin.url("/token")
        auth = {
            "realm": realm,
            "service": SERVICE,
            "issuer": "tokens.test",
            "rootcertbundle": str(tokens.certificate),
        }
        self._write("open.yml", {})
        self._write("guarded.yml", {"auth": {"token": auth}})
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            member = tarfile.TarInfo("file")
            member.size = 3 << 20
            archive.addfile(member, io.BytesIO(random.Random(1).randbytes(3 << 20)))
        self.layer = gzip.compress(layer.getvalue(), 1, mtime=0)
        self._diff = sha256(layer.getvalue()).hexdigest()
        self.start("open.yml")
        try:
            self.push("1")
        finally:
            self.stop()

    def _write(self, name: str, more: dict[str, Any]) -> None:
        config = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "store")}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
            **more,
        }
        (self._folder / name).write_text(yaml.safe_dump(config))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self, config: str = "guarded.yml") -> Self:
        command = ["docker-registry", "serve", str(self._folder / config)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=clean_environment({"OTEL_TRACES_EXPORTER": "none"})
            )
        until(self._accepts)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10.0)
            self._process = None

    def push(self, tag: str) -> str:
        """Put the image there under a tag, while it is open to all; gives its manifest's digest."""
        image = self._folder / f"image-{tag}"
        image.mkdir()
        settings = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"tag": tag}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{self._diff}"]},
            "history": [],
        }
        described = []
        for kind, content in ((_CONFIG, json.dumps(settings).encode()), (_LAYER, self.layer)):
            digest = sha256(content).hexdigest()
            (image / digest).write_bytes(content)
            described.append({"mediaType": kind, "size": len(content), "digest": f"sha256:{digest}"})
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": described[0],
            "layers": described[1:],
        }
        text = json.dumps(manifest)
        (image / "manifest.json").write_text(text)
        (image / "version").write_text("Directory Transport Version: 1.1\n")
        done = skopeo(
            self._folder,
            "copy",
            "--dest-tls-verify=false",
            f"dir:{image}",
            f"docker://127.0.0.1:{self.port}/lib/tiny:1",
        )
        assert done.returncode == 0, done.stderr
        return f"sha256:{sha256(text.encode()).hexdigest()}"

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


def skopeo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with nothing that it could know of this machine's registries."""
    environment = clean_environment({"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)})
    return subprocess.run(
        ["skopeo", "--insecure-policy", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
