"""The system's store of certificates that its programs trust, by the tool that the system has for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyproxycache.errors import reason

_SECONDS = 300.0


class StoreFailed(Exception):
    """The system's store could not be changed; the text says why."""


@dataclass(frozen=True, slots=True)
class SystemStore:
    """A folder for certificates of the machine's own, and the command that takes over what is in it."""

    command: tuple[str, ...]
    folder: Path
    suffix: str

    def path_of(self, fingerprint: str) -> Path:
        """The file of the certificate with this fingerprint."""
        return self.folder / f"pyproxycache-{fingerprint.replace(':', '').lower()[:16]}{self.suffix}"

    def install(self, fingerprint: str, pem: bytes) -> None:
        """Have the system trust the certificate, if it does not yet; raises StoreFailed."""
        path = self.path_of(fingerprint)
        new = path.with_suffix(".new")  # which the command leaves alone
        try:
            new.write_bytes(pem)
            new.chmod(0o644)
            new.replace(path)
        except OSError as error:
            raise StoreFailed(f"{path} cannot be written: {error.strerror}") from error
        try:
            self._take_over()
        except StoreFailed:
            path.unlink(missing_ok=True)
            raise

    def remove(self, fingerprint: str) -> bool:
        """Have the system trust it no more; gives whether its file was there. Raises StoreFailed."""
        path = self.path_of(fingerprint)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreFailed(f"{path} cannot be removed: {error.strerror}") from error
        self._take_over()
        return True

    def _take_over(self) -> None:
        name = self.command[0]
        try:
            done = subprocess.run(
                self.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreFailed(f"{name} failed: {reason(error)}") from error
        if done.returncode != 0:
            told = (done.stderr or done.stdout).strip().splitlines()
            raise StoreFailed(f"{name} failed: {told[-1] if told else f'exit status {done.returncode}'}")


_ANCHORS = Path("/etc/pki/trust/anchors")
STORES = (
    SystemStore(("update-ca-certificates",), Path("/usr/local/share/ca-certificates"), ".crt"),  # Debian
    SystemStore(("update-ca-certificates",), _ANCHORS, ".pem"),  # openSUSE
    SystemStore(("update-ca-trust", "extract"), Path("/etc/pki/ca-trust/source/anchors"), ".pem"),  # Fedora
    SystemStore(("update-ca-trust",), Path("/etc/ca-certificates/trust-source/anchors"), ".crt"),  # Arch
    SystemStore(("trust", "extract-compat"), Path("/etc/ca-certificates/trust-source/anchors"), ".crt"),
)
"""The known ones; where several fit, the first is used."""


def find_store(stores: Iterable[SystemStore] = STORES) -> SystemStore | None:
    """The store of this system; None if there is none of these."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    for store in stores:
        tool = shutil.which(store.command[0], path=path)
        if tool is not None and store.folder.is_dir():
            return SystemStore((tool, *store.command[1:]), store.folder, store.suffix)
    return None
