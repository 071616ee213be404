"""The script that has a firewall redirect connections: what it leaves, what it refuses, what it says."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from routed import ROUTER, SCRIPT, WAYS, Routed, routed


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    with routed(tmp_path_factory.mktemp("script")) as made:
        yield made


def test_the_script_leaves_what_was_there(net: Routed) -> None:
    def ruleset() -> list[str]:
        lines = []
        for command in (("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",)):
            told = net.run(*command).stdout.splitlines()
            lines += [line for line in told if not line.startswith(("#", ":"))]
        for family in ("-4", "-6"):
            lines += net.run("ip", family, "rule").stdout.splitlines()
        return lines

    net.run("iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "80", "-j", "ACCEPT")
    for way in WAYS:  # which has iptables make its tables and chains
        net.redirect(*way)
    net.redirect("stop")
    before = ruleset()
    for way in (*WAYS, ("start", "machine", "--user", "root", "--by", "nft")):
        for _ in range(2):
            net.redirect(*way)
        assert net.redirect("status").stdout.count("PYPROXYCACHE\n") <= 4
        assert ruleset() != before
    for _ in range(2):
        net.redirect("stop")
    assert ruleset() == before
    assert net.redirect("status", check=False).returncode == 3


def test_the_script_takes_no_routing_table_that_is_used(net: Routed) -> None:
    net.run("ip", "route", "add", "blackhole", "192.0.2.0/24", "table", "3129")
    try:
        done = net.redirect(*ROUTER, "--tproxy", check=False)
        assert (done.returncode, "the routing table 3129 is used already" in done.stderr) == (1, True)
        assert net.redirect("status", check=False).returncode == 3
        assert "blackhole 192.0.2.0/24" in net.run("ip", "route", "show", "table", "3129").stdout
    finally:
        net.run("ip", "route", "flush", "table", "3129")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("start",), "router or machine"),
        (("start", "bridge"), "neither router nor machine"),
        (("start", "router"), "--lan names"),
        (("start", "router", "--lan", "lan0;reboot"), "separated by commas"),
        (("start", "router", "--lan", "lan0", "--http", "80x"), "is not a port"),
        (("start", "router", "--lan", "lan0", "--by", "pf"), "nft or iptables"),
        (("start", "machine", "--user", "no-such-user"), "there is no user"),
        (("start", "machine", "--tproxy"), "for a router"),
        ((), "usage:"),
    ],
)
def test_the_script_says_what_is_wrong(net: Routed, arguments: tuple[str, ...], told: str) -> None:
    done = net.redirect(*arguments, check=False)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert net.redirect("status", check=False).returncode == 3


@pytest.mark.parametrize("tool", ["nft", "iptables"])
def test_an_interface_that_is_not_there_is_told_of(net: Routed, tool: str) -> None:
    there = net.redirect("start", "router", "--lan", "lo", "--by", tool)
    assert there.stderr == ""
    # It may come later, as a bridge for containers does.
    done = net.redirect("start", "router", "--lan", "lo,no-such0", "--by", tool)
    assert "there is no interface no-such0" in done.stderr
    assert "no-such0" in net.redirect("status").stdout
    net.redirect("stop")


def test_the_script_has_no_fault_that_shellcheck_knows() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
