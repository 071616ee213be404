"""Where lines go: whole, in order, and none lost without a word."""

import os
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyproxycache.report.sinks import LogFile, StandardOutput, Syslog, Unwritten, sink

LOCAL7_INFO = 190


def opened(path: Path) -> LogFile:
    file = LogFile(str(path))
    file.open()
    return file


def test_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    one, other = opened(path), opened(path)
    one.write(["a", "b"])
    other.write(["c"])
    one.write(["d"])
    assert path.read_text() == "before\na\nb\nc\nd\n"


def test_a_new_file_is_for_its_user_and_group(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened(tmp_path / "access.log")
    finally:
        os.umask(before)
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o640


def test_open_again_goes_on_in_the_file_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    file = opened(path)
    file.write(["old"])
    path.rename(tmp_path / "access.log.1")
    file.write(["late"])
    file.open()
    file.write(["new"])
    assert (tmp_path / "access.log.1").read_text() == "old\nlate\n"
    assert path.read_text() == "new\n"


def test_open_that_fails_leaves_what_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = opened(folder / "access.log")
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        file.open()
    file.write(["kept"])
    assert (tmp_path / "moved" / "access.log").read_text() == "kept\n"


def test_write_without_open(tmp_path: Path) -> None:
    with pytest.raises(Unwritten, match="Bad file descriptor") as raised:
        LogFile(str(tmp_path / "access.log")).write(["a", "b"])
    assert raised.value.lines == 2


@pytest.fixture
def file_size() -> Iterator[Callable[[int], None]]:
    """Sets how large this process may make a file, for a write that is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("room", "missing", "first"),
    [
        (0, 3, ""),
        (3, 3, "aaa\n"),
        (5, 2, "aaaa\n"),
        (6, 2, "aaaa\nb\n"),
        (9, 2, "aaaa\nbbbb\n"),
        (14, 1, "aaaa\nbbbb\ncccc\n"),
    ],
)
def test_a_half_line_is_ended_before_the_next(
    tmp_path: Path, file_size: Callable[[int], None], room: int, missing: int, first: str
) -> None:
    path = tmp_path / "access.log"
    file = opened(path)
    file_size(room)
    with pytest.raises(Unwritten, match="File too large") as raised:
        file.write(["aaaa", "bbbb", "cccc"])
    file_size(resource.RLIM_INFINITY)
    file.write(["next"])
    assert raised.value.lines == missing
    assert path.read_text() == f"{first}next\n"


def test_standard_output_is_written_in_pieces_that_a_pipe_takes_whole() -> None:
    here, there = os.pipe()
    lines = [f"{number:03d} {'x' * 200}" for number in range(100)]
    StandardOutput(there).write(lines)
    os.close(there)
    pieces = []
    while piece := os.read(here, select.PIPE_BUF):
        pieces.append(piece)
    os.close(here)
    assert b"".join(pieces).decode().splitlines() == lines


WRITER = """
import sys
from pyproxycache.report.sinks import StandardOutput
for _ in range(20):
    StandardOutput(1).write([sys.argv[1] * 30_000, sys.argv[1] * 10] * 5)
"""


def test_lines_of_several_processes_stay_whole_in_a_pipe() -> None:
    here, there = os.pipe()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name], stdout=there) for name in "ab"]
    os.close(there)
    with os.fdopen(here) as pipe:
        lines = pipe.read().splitlines()
    assert [writer.wait(10) for writer in writers] == [0, 0]
    assert sorted(lines) == sorted([c * n for c in "ab" for n in (30_000, 10) for _ in range(100)])


def test_standard_output_that_nobody_reads() -> None:
    here, there = os.pipe()
    os.close(here)
    with pytest.raises(Unwritten, match="Broken pipe") as raised:
        StandardOutput(there).write(["a", "b"])
    os.close(there)
    assert raised.value.lines == 2


def listening(family: int, address: object) -> socket.socket:
    daemon = socket.socket(family, socket.SOCK_DGRAM)
    daemon.settimeout(10)
    daemon.bind(address)  # type: ignore[arg-type]
    return daemon


def test_syslog_by_a_path(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with pytest.raises(FileNotFoundError):
        Syslog(path).open()
    syslog = Syslog(path)
    with listening(socket.AF_UNIX, path) as daemon:
        syslog.open()
        syslog.write(["a line", "another"])
        received = [daemon.recv(1000).decode() for _ in range(2)]
    head, _, text = received[0].partition(": ")
    assert head.startswith(f"<{LOCAL7_INFO}>")
    assert head.endswith(f" pyproxycache[{os.getpid()}]")
    assert len(head) == len(f"<190>Nov 14 22:13:20 pyproxycache[{os.getpid()}]")
    assert [text, received[1].partition(": ")[2]] == ["a line", "another"]
    with pytest.raises(Unwritten, match="Connection refused") as raised:
        syslog.write(["lost", "lost too"])
    assert raised.value.lines == 2
    Path(path).unlink()
    with listening(socket.AF_UNIX, path) as daemon:
        syslog.write(["found again"])
        assert daemon.recv(1000).endswith(b": found again")
    syslog.close()


def test_syslog_by_udp() -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as daemon:
        syslog = Syslog(f"127.0.0.1:{daemon.getsockname()[1]}")
        syslog.open()
        with pytest.raises(Unwritten, match="Message too long") as raised:
            syslog.write(["first", "x" * 70_000, "last"])
        assert raised.value.lines == 1
        syslog.close()
        first, last = daemon.recv(1000).decode(), daemon.recv(1000).decode()
    assert first.endswith(f" {socket.gethostname()} pyproxycache[{os.getpid()}]: first")
    assert last.endswith(": last")


@pytest.mark.parametrize(
    ("where", "kind"),
    [("-", StandardOutput), ("syslog:", Syslog), ("syslog:host:514", Syslog), ("/var/log/x", LogFile)],
)
def test_the_place_as_it_is_configured(where: str, kind: type) -> None:
    assert isinstance(sink(where), kind)
