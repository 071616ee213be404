"""The folder of an authority: made all at once, never replaced, and read by its user alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxycache.errors import ConfigError
from pyproxycache.tls.authority_files import AuthorityFiles, read_authority, write_authority

FILES = AuthorityFiles(b"the key", b"the certificate")
IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_authority(tmp_path / "data" / "pyproxycache" / "ca", FILES)
    finally:
        os.umask(before)
    folder = tmp_path / "data" / "pyproxycache" / "ca"
    assert read_authority(folder) == FILES
    assert [mode(path) for path in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3
    assert [mode(folder / name) for name in ("ca.key", "ca.pem")] == [0o600] * 2
    assert sorted(path.name for path in folder.iterdir()) == ["ca.key", "ca.pem"]
    assert [path.name for path in folder.parent.iterdir()] == ["ca"]


def test_the_key_is_private_from_its_first_byte(tmp_path: Path) -> None:
    """With a mask that takes nothing away, and without a call that does so later."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pyproxycache.tls.authority_files import *\n"
        "def told(event, args):\n"
        "    if event in ('os.chmod', 'os.rename'): print(event)\n"
        "os.umask(0)\n"
        "sys.addaudithook(told)\n"
        "write_authority(Path(sys.argv[1]), AuthorityFiles(b'k', b'c'))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "ca")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "os.rename\n"
    assert [mode(path) for path in (tmp_path / "ca", tmp_path / "ca" / "ca.key")] == [0o700, 0o600]


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    write_authority(folder, FILES)
    with pytest.raises(ConfigError, match="there is a certificate authority already"):
        write_authority(folder, AuthorityFiles(b"other", b"other"))
    (folder / "ca.pem").unlink()
    with pytest.raises(ConfigError, match="there is a certificate authority already"):
        write_authority(folder, AuthorityFiles(b"other", b"other"))
    assert (folder / "ca.key").read_bytes() == b"the key"
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]


def test_one_of_many_at_once_makes_it(tmp_path: Path) -> None:
    folder, made, refused = tmp_path / "ca", [], []
    gate = threading.Barrier(8)

    def make(number: int) -> None:
        files = AuthorityFiles(b"key %d" % number, b"certificate %d" % number)
        gate.wait()
        try:
            write_authority(folder, files)
            made.append(files)
        except ConfigError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [read_authority(folder)]
    assert len(refused) == 7
    assert all("there is a certificate authority already" in text for text in refused)
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "notes").write_text("x")
    with pytest.raises(ConfigError, match="there are other files: name a folder that is empty"):
        write_authority(tmp_path / "ca", FILES)
    assert (tmp_path / "ca" / "notes").read_text() == "x"


def test_an_empty_folder_and_a_link_are_taken(tmp_path: Path) -> None:
    """As a service manager makes them."""
    (tmp_path / "private").mkdir(mode=0o755)
    (tmp_path / "ca").symlink_to("private")
    write_authority(tmp_path / "ca", FILES)
    assert read_authority(tmp_path / "private") == FILES
    assert (tmp_path / "ca").is_symlink()
    assert mode(tmp_path / "private") == 0o700


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("x")
    for folder in (tmp_path / "ca", tmp_path / "ca" / "below"):
        with pytest.raises(ConfigError, match=r"cannot be made: Not a directory"):
            write_authority(folder, FILES)
        with pytest.raises(ConfigError, match="there is no certificate authority in"):
            read_authority(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for the folder's own pages alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip("cannot mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@as_root
def test_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    for files in (AuthorityFiles(bytes(100_000), b""), AuthorityFiles(bytes(40_000), bytes(40_000))):
        with pytest.raises(ConfigError, match=r"ca cannot be made: No space left on device"):
            write_authority(small_disk / "ca", files)
        assert list(small_disk.iterdir()) == []
    write_authority(small_disk / "ca", FILES)
    assert read_authority(small_disk / "ca") == FILES


@as_root
def test_a_mount_point_is_told(small_disk: Path) -> None:
    with pytest.raises(ConfigError, match="is a mount point: name a folder in it"):
        write_authority(small_disk, FILES)
    write_authority(small_disk / "ca", FILES)


@as_root
def test_what_root_makes_is_for_the_service(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY, NOBODY)
    write_authority(state / "pyproxycache" / "ca", FILES)
    made = [state / "pyproxycache", *(state / "pyproxycache").rglob("*")]
    assert len(made) == 4
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(NOBODY, NOBODY)}
    assert read_authority(state / "pyproxycache" / "ca") == FILES


def as_nobody(action: str, folder: Path) -> str:
    """What reading or writing the folder says to another user; empty if nothing."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pyproxycache.errors import ConfigError\n"
        "from pyproxycache.tls.authority_files import *\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "try:\n"
        f"    {action}\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


READ = "read_authority(Path(sys.argv[1]))"
WRITE = "write_authority(Path(sys.argv[1]), AuthorityFiles(b'k', b'c'))"


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that other users can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@as_root
@pytest.mark.parametrize(
    ("owner", "group", "key_mode", "told"),
    [
        (NOBODY, NOBODY, 0o600, ""),
        (NOBODY, NOBODY, 0o400, ""),
        (NOBODY, NOBODY, 0o640, "ca.key is open to others (mode 640), who could read the key: chmod 600"),
        (NOBODY, NOBODY, 0o604, "ca.key is open to others (mode 604)"),
        # As root gives it to a service by its group, and Kubernetes with an fsGroup.
        (0, NOBODY, 0o640, ""),
        (0, NOBODY, 0o440, ""),
        (0, NOBODY, 0o660, "ca.key is open to others (mode 660)"),
        (0, 0, 0o644, "ca.key is open to others (mode 644)"),
        (0, 0, 0o600, "ca.key cannot be read: Permission denied; it is for the user root"),
        (12345, NOBODY, 0o640, "ca.key belongs to the user 12345, who could read the key"),
    ],
)
def test_who_may_have_the_key(open_path: Path, owner: int, group: int, key_mode: int, told: str) -> None:
    folder = open_path / "ca"
    write_authority(folder, FILES)
    folder.chmod(0o755)
    (folder / "ca.pem").chmod(0o644)
    os.chown(folder / "ca.key", owner, group)
    (folder / "ca.key").chmod(key_mode)
    said = as_nobody(READ, folder)
    assert said.startswith(f"{folder}/{told}") if told else said == ""


@as_root
def test_what_another_user_may_not_reach_is_told(open_path: Path) -> None:
    folder = open_path / "ca"
    write_authority(folder, FILES)
    text = f"{folder}/ca.key cannot be read: Permission denied; it is for the user root"
    assert as_nobody(READ, folder) == text
    text = f"{open_path}/other cannot be made: Permission denied: it has to be where this user can write"
    assert as_nobody(WRITE, open_path / "other") == text


def test_a_key_of_ours_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_authority(tmp_path / "ca", FILES)
    for bits in (0o640, 0o604, 0o660, 0o666):
        (tmp_path / "ca" / "ca.key").chmod(bits)
        with pytest.raises(ConfigError, match=rf"ca.key is open to others \(mode {bits:o}\).*chmod 600"):
            read_authority(tmp_path / "ca")
    (tmp_path / "ca" / "ca.key").chmod(0o600)
    assert read_authority(tmp_path / "ca") == FILES


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    write_authority(tmp_path / "ca", FILES)
    (tmp_path / "ca").chmod(0o770)
    with pytest.raises(ConfigError, match=r"ca can be written by others \(mode 770\).*chmod 700"):
        read_authority(tmp_path / "ca")
    # As that of a Kubernetes secret is: others can put files there, and replace none.
    for bits in (0o755, 0o1777):
        (tmp_path / "ca").chmod(bits)
        assert read_authority(tmp_path / "ca") == FILES


@pytest.mark.parametrize("missing", ["ca.key", "ca.pem"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    write_authority(tmp_path / "ca", FILES)
    (tmp_path / "ca" / missing).unlink()
    with pytest.raises(ConfigError, match=rf"{missing} cannot be read: No such file or directory"):
        read_authority(tmp_path / "ca")


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    write_authority(tmp_path / "ca", FILES)
    (tmp_path / "ca" / "ca.pem").unlink()
    (tmp_path / "ca" / "ca.pem").mkdir()
    with pytest.raises(ConfigError, match=r"ca.pem cannot be read: Is a directory"):
        read_authority(tmp_path / "ca")
    (tmp_path / "ca" / "ca.pem").rmdir()
    os.mkfifo(tmp_path / "ca" / "ca.pem")
    assert read_authority(tmp_path / "ca").certificate == b""


def test_where_there_is_none_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"`pyproxycache ca init --folder {tmp_path}/none`"):
        read_authority(tmp_path / "none")
