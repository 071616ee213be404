"""The comparison's own arithmetic, its clients and its page."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import make_certificate
from compare import page, rounds, wrk
from compare.processes import Port, Tree, accepts
from compare.readers import Readers, SecureReaders
from compare.results import RATE, Aim, Failure, Measure, Results
from compare.rounds import Plan, Rounds
from compare.servers import Before, filled
from harness import Proxy
from origin import Generated, Origin

from pyproxycache.tls.certificate_authority import CertificateAuthority

CORE = max(os.sched_getaffinity(0))
MEASURE = Measure(1, "1 KB hits", RATE)
LINE = '{"requests": 300, "seconds": 1.5, "p50": 0.001, "p99": 0.02, "bytes": 9, "broken": 0, "refused": 0}'

needs_taskset = pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")


def measured(**servers: list[float]) -> Results:
    found = Results()
    for server, values in servers.items():
        for value in values:
            found.add(MEASURE, server, value)
    return found


def test_figures_are_read_out_of_what_wrk_prints() -> None:
    run = wrk.parse(f"Running 3s test @ http://127.0.0.1:1/\n  Requests/sec: 17.0\n{LINE}\n")
    assert (run.rate, run.p99) == (200.0, 0.02)


def test_wrk_without_figures_is_an_error() -> None:
    with pytest.raises(ValueError, match="no figures"):
        wrk.parse("unable to connect\n")


@pytest.mark.parametrize(
    ("field", "reason"),
    [('"requests": 300', "not one"), ('"broken": 0', "broke"), ('"refused": 0', "status")],
)
def test_a_run_of_errors_is_no_measurement(field: str, reason: str) -> None:
    wrong = field.replace("300", "0") if "300" in field else field.replace("0", "5")
    with pytest.raises(RuntimeError, match=reason):
        wrk.checked(wrk.parse(LINE.replace(field, wrong)))


def test_medians_ratios_and_spread() -> None:
    found = measured(ours=[30.0, 10.0, 20.0], nginx=[5.0, 10.0, 15.0], squid=[40.0])
    assert found.median(MEASURE, "ours") == 20.0
    assert found.ratio(MEASURE, "ours", "nginx") == 2.0
    assert found.ratio(MEASURE, "ours", "varnish") is None
    assert found.spread(MEASURE, "nginx") == 1.0
    assert found.best_peer(MEASURE) == "squid"


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [
        (Aim(1, "1 KB hits", RATE, "at least", 2.0, "nginx"), 2.0, True),
        (Aim(1, "1 KB hits", RATE, "at least", 1.0, "best peer"), 0.5, False),
        (Aim(1, "1 KB hits", RATE, "at most", 1.0, "nginx"), 2.0, False),
        (Aim(1, "1 KB hits", RATE, "at most", 20.0), 20.0, True),
    ],
)
def test_aims(aim: Aim, value: float, met: bool) -> None:
    found = measured(ours=[20.0], nginx=[10.0], squid=[40.0])
    assert aim.value(found, "off") == value
    assert aim.met(value) is met
    assert aim.value(found, "on") is None


def test_the_page_tells_misses_of_the_aim_and_failures() -> None:
    found = measured(ours=[20.0, 30.0], nginx=[100.0])
    found.failures += [Failure(1, "varnish", "off", "it broke")] * 2
    text = page.markdown(found, ["a machine"])
    assert "- a machine" in text
    assert "≥ 1.5 x nginx" in text
    assert "**missed**" in text
    row = next(
        line for line in text.splitlines() if line.startswith("| 1 KB hits: requests/s | off         |  ")
    )
    assert [cell.strip() for cell in row.split("|")[3:-1]] == ["25", "100", "failed", "0.25", ""]
    assert "- Varnish, access logs off, failed 2 times: it broke" in text
    assert "differ most by 40% of their median (pyproxycache" in text


def test_what_is_written_by_hand_stays() -> None:
    before = f"# By hand\n\n{page.BEGIN}\n\nold\n\n{page.END}\n\nby hand, too\n"
    once = page.inserted(before, "new")
    assert once == f"# By hand\n\n{page.BEGIN}\n\nnew\n\n{page.END}\n\nby hand, too\n"
    assert page.inserted(once, "old") == before


@pytest.mark.parametrize("text", ["", page.BEGIN, page.END, f"{page.END}\n{page.BEGIN}"])
def test_a_page_without_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="needs a line"):
        page.inserted(text, "new")


def test_the_page_of_the_repository_has_its_marks() -> None:
    page.inserted((Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(), "")


@pytest.mark.parametrize(
    ("value", "written"), [(12345.6, "12,346"), (0.0512, "0.05"), (12.34, "12.3"), (1.0, "1"), (0.0, "0")]
)
def test_numbers(value: float, written: str) -> None:
    assert page.number(value) == written


def test_the_index_has_a_column_for_each_size() -> None:
    found = Results(
        index=[{"entries": 10_000, "lookup_us": 20.5}, {"entries": 1_000_000, "lookup_us": 21.5}]
    )
    text = page.markdown(found, [])
    assert "1,000,000 entries" in text
    assert "| lookup us |" in text


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="FOLDER"):
        filled("nginx.conf", {})


@needs_taskset
def test_a_server_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    port = Port()
    listen = (
        f"import socket; s = socket.create_server(('127.0.0.1', {port.number})); s.accept(); s.accept()"
    )
    code = f"import os, sys; os.fork() or (os.setsid(), exec({listen!r})); os.wait()"
    tree = Tree([sys.executable, "-c", code], CORE, tmp_path / "output", os.environ)
    tree.wait_accepting(port.number)
    pids = tree.pids()
    assert len(pids) == 2
    assert tree.memory() > 1_000_000
    tree.stop()
    assert not accepts(port.number)
    port.close()


@needs_taskset
def test_a_server_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    port = Port()
    tree = Tree([sys.executable, "-c", "raise SystemExit(3)"], CORE, tmp_path / "output", os.environ)
    with pytest.raises(RuntimeError, match="status 3"):
        tree.wait_accepting(port.number)
    tree.stop()
    port.close()


@needs_taskset
def test_clients_count_what_they_get(origin: Origin) -> None:
    body = Generated(3_000_000, seed=1)
    origin.put("/whole", body)
    result = Readers(CORE).download(origin.url("/whole"), 7, body.size)
    assert 0 < result.first <= result.seconds
    assert origin.count("/whole") == 7


@needs_taskset
def test_a_short_body_is_an_error(origin: Origin) -> None:
    origin.put("/short", Generated(3_000_000, seed=1), break_at=[None, 0.5])
    with pytest.raises(RuntimeError, match=r"1 of 2 clients .* closed after"):
        Readers(CORE).download(origin.url("/short"), 2, 3_000_000)


@needs_taskset
def test_an_error_is_no_download(origin: Origin) -> None:
    with pytest.raises(RuntimeError, match="404"):
        Readers(CORE).again(origin.url("/missing"), 2, 1, 1)


@needs_taskset
def test_downloads_over_and_over(origin: Origin) -> None:
    origin.put("/large", Generated(2_000_000, seed=1))
    run = Readers(CORE).again(origin.url("/large"), 2, seconds=1, agents=3)
    assert run.bytes == run.requests * 2_000_000
    assert 0 < run.p50 <= run.p99
    assert origin.accepted == 2
    assert {asked.get("User-Agent") for asked in origin.requests} == {None, "Bench/0", "Bench/1", "Bench/2"}


@needs_taskset
def test_paced_requests_come_as_they_are_due(origin: Origin) -> None:
    origin.put("/small", b"x" * 1000)
    run = Readers(CORE).paced(origin.url("/small"), 4, rate=100, seconds=1)
    assert (run.requests, run.bytes > 0, origin.accepted) == (100, True, 4)
    assert 0.9 < run.seconds < 5
    assert 0 < run.p50 <= run.p99


@needs_taskset
def test_who_is_slow_is_late_by_all_that_was_due(origin: Origin) -> None:
    origin.put("/slow", b"x" * 1000, head_delay=0.1)
    run = Readers(CORE).paced(origin.url("/slow"), 1, rate=20, seconds=1)
    assert run.p50 > 0.4


@needs_taskset
def test_slow_readers_keep_their_connections(origin: Origin) -> None:
    origin.put("/large", Generated(10_000_000, seed=1))
    readers = Readers(CORE)
    with readers.slow(origin.url("/large"), 20, 10_000) as held:
        readers.download(origin.url("/large"), 1, 10_000_000)
        origin.put("/small", b"x" * 1000)
        readers.again(origin.url("/small"), 1, seconds=1, agents=1)
    assert origin.accepted == 22
    assert 0 < held.rate < 30_000


@pytest.fixture
def secure_origin(tmp_path: Path) -> Iterator[Origin]:
    certificate = make_certificate(tmp_path, "IP:127.0.0.1,DNS:h0.example.org")
    with Origin(tls=certificate.server()) as running:
        running.put("/small", b"x" * 1000)
        yield running


@needs_taskset
def test_kept_connections_in_tls(secure_origin: Origin) -> None:
    run = SecureReaders(CORE).kept(secure_origin.url("/small"), 3, 0.3)
    assert secure_origin.accepted == 3
    assert run.requests == secure_origin.count("/small") > 3
    assert run.bytes > 1000 * run.requests
    assert 0 < run.p50 <= run.p99


@needs_taskset
@pytest.mark.parametrize("resumes", [False, True])
def test_a_connection_in_tls_for_each_request(secure_origin: Origin, resumes: bool) -> None:
    """Whether sessions are resumed is checked by the clients themselves."""
    run = SecureReaders(CORE).anew(secure_origin.url("/small"), 2, 0.5, resumes=resumes)
    assert secure_origin.accepted == secure_origin.count("/small")
    # The first session of each client is what it resumes.
    assert run.requests == secure_origin.accepted - (2 if resumes else 0)


@needs_taskset
def test_idle_connections_in_tls(secure_origin: Origin) -> None:
    with SecureReaders(CORE).idle(secure_origin.url("/small"), 7):
        assert (secure_origin.accepted, secure_origin.count("/small")) == (7, 7)


@needs_taskset
def test_new_hosts_have_certificates_of_their_own(tmp_path: Path) -> None:
    """Which the clients themselves check; no host is asked."""
    CertificateAuthority.create(tmp_path / "ca", time.time())
    config = {"intercept": {"hosts": ["*"], "ca": str(tmp_path / "ca")}, "connect": {"ports": [1]}}
    with Proxy(tmp_path / "proxy", config=config) as proxy:
        run = SecureReaders(CORE, proxy=proxy.netloc).named("https://localhost:1/", 3, 60, "h")
    assert run.requests == 60


@needs_taskset
def test_an_error_in_tls_is_no_answer(secure_origin: Origin) -> None:
    with pytest.raises(RuntimeError, match="404"):
        SecureReaders(CORE).kept(secure_origin.url("/missing"), 2, 0.3)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize(
    ("mode", "distinct", "agents"), [("plain", False, 1), ("agents", False, 1000), ("misses", True, 1)]
)
def test_the_modes_of_wrk(origin: Origin, mode: str, distinct: bool, agents: int) -> None:
    origin.put("/a", b"x")
    run = wrk.Wrk(CORE, 1).run(origin.url("/a?"), 2, mode)
    asked = origin.requests
    assert run.requests <= len(asked)
    assert len({each.target for each in asked}) == (len(asked) if distinct else 1)
    assert len({each.get("User-Agent") for each in asked}) == min(agents, len(asked))


def test_pictures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from compare import plots

    found = measured(ours=[20.0], nginx=[100.0])
    found.failures.append(Failure(1, "varnish", "off", "it broke"))
    ((about, name),) = plots.draw(found, tmp_path / "images")
    assert about.startswith("Requests per second")
    assert (tmp_path / "images" / name).read_bytes().startswith(b"\x89PNG")


@needs_taskset
def test_the_index_is_measured_by_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    monkeypatch.setattr(rounds, "INDEX", program)
    here = Rounds(Plan((7,), 1, 1, ["ours"], ["off"], (CORE, CORE)), tmp_path)
    program.write_text("import sys, json; print(json.dumps([{'entries': 10, 'arguments': len(sys.argv)}]))")
    here.measure_index()
    assert here.results.index == [{"entries": 10, "arguments": 2}]
    program.write_text("raise SystemExit('no room')")
    here.measure_index()
    assert "no room" in here.results.failures[0].reason


def test_an_earlier_version_is_not_replaced_by_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests' PYTHONPATH names this checkout."""
    monkeypatch.setenv("PYTHONPATH", "/this/checkout")
    before = Before(tmp_path, CORE)
    try:
        assert "PYTHONPATH" not in before.environment()
    finally:
        before.close()
