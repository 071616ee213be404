"""The variables that programs get: a table, and what of the environment before stays in them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pyproxycache.cli.runs.client_variables import (
    ADDED,
    BUNDLES,
    EXCEPTIONS,
    PROXIES,
    Around,
    TrustFiles,
    apt_settings,
    exceptions,
    java_options,
    variables,
    wget_settings,
)

FOLDER = Path("/tmp/run")
TRUST = TrustFiles(FOLDER / "bundle.pem", FOLDER / "added.pem", FOLDER / "java.p12")
AROUND = Around("127.0.0.1", 3999, FOLDER, FOLDER / "replaced.json", TRUST)
TUNNELS = replace(AROUND, trust=None)

# The reference's list; what of it is an option of several programs is in the tables below.
REFERENCE = [
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_PROXY",
    "UV_NATIVE_TLS",
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_ENV_PROXY",
    "npm_config_cafile",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "YARN_HTTPS_CA_FILE_PATH",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
    "BUNDLE_SSL_CA_CERT",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "JAVA_TOOL_OPTIONS",
    "CONDA_SSL_VERIFY",
    "APT_CONFIG",
    "WGETRC",
]


def test_all_that_programs_read_is_set() -> None:
    found = variables({}, AROUND)
    assert set(REFERENCE) <= set(found)
    assert {found[name] for name in PROXIES} == {"http://127.0.0.1:3999"}
    assert {found[name] for name in BUNDLES} == {"/tmp/run/bundle.pem"}
    assert {found[name] for name in ADDED} == {"/tmp/run/added.pem"}
    assert {found[name] for name in EXCEPTIONS} == {"localhost,127.0.0.1"}
    assert found["APT_CONFIG"] == "/tmp/run/apt.conf"


def test_no_name_is_in_two_tables() -> None:
    names = [*PROXIES, *EXCEPTIONS, *BUNDLES, *ADDED]
    assert len(names) == len(set(names))


def test_without_interception_nothing_is_said_of_trust() -> None:
    found = variables({}, TUNNELS)
    assert not set(found) & {*BUNDLES, *ADDED, "UV_NATIVE_TLS", "SSL_CERT_DIR"}
    assert "trustStore" not in found["JAVA_TOOL_OPTIONS"]
    assert {found[name] for name in PROXIES} == {"http://127.0.0.1:3999"}


@pytest.mark.parametrize(
    ("around", "url"),
    [
        (replace(AROUND, host="::1"), "http://[::1]:3999"),
        (replace(AROUND, host="cache.example", port=3129, scheme="https"), "https://cache.example:3129"),
    ],
)
def test_the_url_of_the_proxy(around: Around, url: str) -> None:
    assert variables({}, around)["https_proxy"] == url


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "localhost,127.0.0.1"),
        ({"no_proxy": "a.example, .b.example,"}, "a.example,.b.example,localhost,127.0.0.1"),
        ({"no_proxy": "a", "NO_PROXY": "b,a", "npm_config_noproxy": "c"}, "a,b,c,localhost,127.0.0.1"),
        ({"NO_PROXY": "localhost,10.0.0.0/8"}, "localhost,10.0.0.0/8,127.0.0.1"),
        ({"NO_PROXY": "*"}, "*,localhost,127.0.0.1"),
    ],
)
def test_exceptions_stay(before: dict[str, str], after: str) -> None:
    assert ",".join(exceptions(before)) == after


def test_options_for_java_follow_those_before() -> None:
    before = {"JAVA_TOOL_OPTIONS": "-Xmx1g -Dhttp.proxyHost=old"}
    words = variables(before, AROUND)["JAVA_TOOL_OPTIONS"].split()
    assert words[:2] == ["-Xmx1g", "-Dhttp.proxyHost=old"]
    assert words.index("-Dhttp.proxyHost=127.0.0.1") > 1  # the last one counts
    assert "-Djavax.net.ssl.trustStore=/tmp/run/java.p12" in words


def test_hosts_as_java_writes_them() -> None:
    before = {"no_proxy": ".b.example,a.example,10.0.0.0/8,192.0.2.1,::1,*.c.example"}
    (option,) = [one for one in java_options(before, AROUND) if "nonProxyHosts" in one]
    patterns = option.partition("=")[2].split("|")
    assert patterns[:6] == ["*.b.example", "a.example", "*.a.example", "192.0.2.1", "[::1]", "*.c.example"]
    assert patterns[6:] == ["localhost", "*.localhost", "127.0.0.1"]


def test_a_path_with_blanks_is_one_word_for_java() -> None:
    trust = replace(TRUST, trust_store=Path("/tmp/a b/java.p12"))
    options = java_options({}, replace(AROUND, trust=trust))
    assert "'-Djavax.net.ssl.trustStore=/tmp/a b/java.p12'" in options


def test_settings_of_apt_are_read_last() -> None:
    first, last = apt_settings(AROUND, "/old/apt.conf", Path("/etc/apt/apt.conf"))
    assert first == '#include "/old/apt.conf";\nDir::Etc::main "/tmp/run/apt-last.conf";\n'
    assert last.splitlines()[0] == '#include "/etc/apt/apt.conf";'
    assert 'Acquire::https::Proxy "http://127.0.0.1:3999";' in last
    assert 'Acquire::https::CAInfo "/tmp/run/bundle.pem";' in last
    first, last = apt_settings(TUNNELS, None, None)
    assert "#include" not in first + last
    assert "CAInfo" not in last


def test_settings_of_wget_overrule_those_before() -> None:
    text = wget_settings({"no_proxy": "a"}, AROUND, "http_proxy = http://old:1\ntries = 3\n")
    assert re.findall(r"^http_proxy = (.*)$", text, re.MULTILINE)[-1] == "http://127.0.0.1:3999"
    assert "tries = 3\n" in text
    assert "no_proxy = a,localhost,127.0.0.1\nca_certificate = /tmp/run/bundle.pem\n" in text
    assert "ca_certificate" not in wget_settings({}, TUNNELS, "")
