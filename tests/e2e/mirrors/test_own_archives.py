"""The archives that this machine's apt is configured with, behind mirrors, where they answer."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from debian_archive import AptGet, needs
from harness import Proxy

MakeProxy = Callable[..., Proxy]
TARGET = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ARCHITECTURE)"
KEYRINGS = "/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"
PACKAGES = 50


def configured() -> Iterator[tuple[str, str, str, str]]:
    """Address, suite, component and architecture of each index that this machine's apt takes by http."""
    needs("apt-get", "gpgv")
    command = ["apt-get", "indextargets", "--format", TARGET, "Created-By: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    for line in done.stdout.splitlines():
        address, suite, component, architecture = line.split(" ")
        if re.match("https?://", address):
            yield address, suite, component, architecture


@pytest.mark.registry
@pytest.mark.timeout(600)
def test_fifty_packages_by_mirror(
    make_proxy: MakeProxy, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """On two machines: on the second one all packages come from the cache."""
    if not pytestconfig.getoption("--every-client", default=False):
        pytest.skip("takes a minute of an archive's time: make clients")
    targets = [*configured()]
    if not targets:
        pytest.skip("no package source of this machine is reached by http")
    names = {
        address: f"archive-{number}" for number, address in enumerate(dict.fromkeys(t[0] for t in targets))
    }
    mirrors = {name: {"ecosystem": "apt", "upstream": address} for address, name in names.items()}
    log = tmp_path / "access.log"
    proxy = make_proxy(
        workers=2, config={"mirrors": mirrors, "log": {"access": str(log), "format": "json"}}
    )
    sources = "\n".join(
        f"deb [arch={architecture}] {proxy.url}/{names[address]} {suite} {component}"
        for address, suite, component, architecture in targets
    )
    keys = tmp_path / "keys"
    keys.mkdir()
    for folder in map(Path, KEYRINGS):
        for key in [*folder.glob("*.gpg"), *folder.glob("*.asc")]:
            (keys / key.name).symlink_to(key)
    digests: list[Mapping[str, str]] = []
    for number in (1, 2):
        options = {"Dir__Etc__trustedparts": keys, "Acquire__Check-Valid-Until": "false"}
        machine = AptGet(
            tmp_path / f"machine-{number}", sources, APT__Architecture=targets[0][3], **options
        )
        updated = machine.run("update", "-oAPT::Update::Error-Mode=any")
        if number == 1 and updated.returncode:
            pytest.skip(f"this machine's archives do not answer: {updated.stderr.strip()[-300:]}")
        assert updated.returncode == 0, updated.stderr
        downloaded = machine.run("download", *small_packages(machine))
        assert downloaded.returncode == 0, downloaded.stderr
        files = [*machine.folder.glob("*.deb")]
        digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    assert digests[0] == digests[1]
    assert len(digests[0]) == PACKAGES
    proxy.terminate()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    packages = [line for line in lines if line["url"].endswith(".deb")]
    assert len(packages) == 2 * PACKAGES
    assert {line["result"] for line in packages[PACKAGES:]} == {"hit"}
    assert "is not stored" not in proxy.log()
    assert "is not known" not in proxy.log()


def small_packages(machine: AptGet) -> list[str]:
    """The names of the smallest packages in the machine's lists, by which the test is quick."""
    sizes: dict[str, int] = {}
    for lists in sorted(machine.folder.glob("lists/*Packages")):
        for stanza in lists.read_text().split("\n\n"):
            name, size = (
                re.search("^Package: (.+)$", stanza, re.M),
                re.search(r"^Size: (\d+)$", stanza, re.M),
            )
            if name and size and name[1] not in sizes:
                sizes[name[1]] = int(size[1])
    return sorted(sizes, key=lambda one: sizes[one])[:PACKAGES]
