"""The configuration: what is read, what is refused in which words, and that the manual says the same."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.default_places import default_store_path
from pyproxycache.configuration.loading import FLAGS, dump, load, parse
from pyproxycache.errors import ConfigError
from pyproxycache.messages import Head, Headers
from pyproxycache.mirror_options import UseOptions
from pyproxycache.options import (
    INWARD,
    LOOPBACK,
    ListenerOptions,
    OriginTlsOptions,
    ParentOptions,
    ProxyAuthOptions,
    Share,
    TlsOptions,
)
from pyproxycache.rules.cache_key import QueryMode, cache_key
from pyproxycache.rules.policy import Policy
from pyproxycache.url import Url

TARGETS = ("cdn-cache-control",)
MANUAL = Path(__file__).parents[2] / "docs" / "configuration.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", MANUAL.read_text(), re.MULTILINE | re.DOTALL)


PAIR = "certificate: /c.pem, key: /k.pem"
TLS = TlsOptions(certificate=Path("/c.pem"), key=Path("/k.pem"))


def read(text: str) -> Config:
    return parse(text, "proxy.yaml")


def value_at(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "store:\nallow:\nrules:\n  # - match: {}\n"])
def test_nothing_is_needed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/of-the-service")
    config = read(text)
    assert config.addresses == ("127.0.0.1:3128",)
    assert config.allow == LOOPBACK
    assert config.guard.deny == INWARD
    assert config.store.path == Path("/var/cache/of-the-service")
    assert config.upstream is None
    assert config.rules == ()


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("listen: 0.0.0.0:3128", "addresses", ("0.0.0.0:3128",)),
        ("listen: ['[::1]:3128', 'localhost:1']", "addresses", ("[::1]:3128", "localhost:1")),
        ("listen: :3128", "addresses", ("[::]:3128",)),
        ("listen: unix:/run/proxy.sock", "addresses", ("unix:/run/proxy.sock",)),
        ("allow: 192.168.0.0/16", "allow", (ip_network("192.168.0.0/16"),)),
        ("allow: [10.1.2.3, 'fd00::/8']", "allow", (ip_network("10.1.2.3/32"), ip_network("fd00::/8"))),
        ("allow: []", "allow", ()),
        ("allow_accounts: [alice, 1000, machine$]", "allow_accounts", ("alice", "1000", "machine$")),
        ("allow_accounts: []", "allow_accounts", ()),
        ("transparent: {http: ':1', https: [':2', 'h:3']}", "transparent.https", ("[::]:2", "h:3")),
        ("upstream: http://example.org", "upstream", Url("http", "example.org", 80, "/")),
        ("upstream: https://example.org:8443/base", "upstream", Url("https", "example.org", 8443, "/base")),
        ("proxy_auth: {users: /u}", "proxy_auth", ProxyAuthOptions(users=Path("/u"))),
        ("proxy_auth: {users: /u, realm: 'a \"b\"'}", "proxy_auth.realm", 'a "b"'),
        ("parent: http://proxy:3128", "parent", ParentOptions(url=Url("http", "proxy", 3128, "/"))),
        ("workers: 4", "workers", 4),
        ("store: {path: /srv/cache}", "store.path", Path("/srv/cache")),
        ("store: {path: ~/cache}", "store.path", Path("~/cache").expanduser()),
        ("store: {max_size: 200G}", "store.max_size", 200 << 30),
        ("store: {max_size: 4096}", "store.max_size", 4096),
        ("store: {max_size: null}", "store.max_size", None),
        ("store: {unused: 1w}", "store.unused", 604800.0),
        ("store: {reserve: 2.5%}", "store.reserve", Share(percent=2.5)),
        ("store: {reserve: 10G}", "store.reserve", Share(size=10 << 30)),
        ("store: {reserve: 5% up to 4G}", "store.reserve", Share(percent=5.0, most=4 << 30)),
        ("fetch: {silence: 1.5}", "fetch.silence", 1.5),
        ("fetch: {pause: 0}", "fetch.pause", 0.0),
        ("fetch: {tls_verify: false}", "fetch.tls_verify", False),
        ("guard: {permit: 127.0.0.1}", "guard.permit", (ip_network("127.0.0.1/32"),)),
        ("kisscache: {instance: lab}", "kisscache.instance", "lab"),
        ("log: {level: debug, access: '-'}", "log.access", "-"),
        ("targets: [Acme-Cache-Control, CDN-Cache-Control]", "targets", ("acme-cache-control", *TARGETS)),
        ("targets: []", "targets", ()),
        ("use: pypi", "use", (UseOptions(ecosystem="pypi"),)),
        (
            "use: [{ecosystem: npm, hosts: A., path: /n}]",
            "use",
            (UseOptions(ecosystem="npm", hosts=("a",), path="/n"),),
        ),
    ],
)
def test_value(text: str, key: str, value: object) -> None:
    assert value_at(read(text), key) == value


@pytest.mark.parametrize(
    ("text", "listeners"),
    [
        ("{address: ':3129'}", (ListenerOptions(address="[::]:3129"),)),
        (f"{{address: 'h:1', tls: {{{PAIR}}}}}", (ListenerOptions(address="h:1", tls=TLS),)),
        (
            f"['127.0.0.1:3128', {{address: 'unix:/p', tls: {{{PAIR}, client_ca: /ca.pem}}}}, 'h:2']",
            (
                ListenerOptions(address="127.0.0.1:3128"),
                ListenerOptions(
                    address="unix:/p",
                    tls=TlsOptions(certificate=TLS.certificate, key=TLS.key, client_ca=Path("/ca.pem")),
                ),
                ListenerOptions(address="h:2"),
            ),
        ),
        ("[{address: 'h:1', tls: null}]", (ListenerOptions(address="h:1"),)),
    ],
)
def test_listeners(text: str, listeners: tuple[ListenerOptions, ...]) -> None:
    config = read(f"listen: {text}")
    assert config.listen == listeners
    assert config.addresses == tuple(one.address for one in listeners)
    assert read(dump(config)) == config
    shown = yaml.safe_load(dump(config))["listen"]
    assert [isinstance(one, str) for one in shown] == [one.tls is None for one in listeners]


def test_parent_and_its_exceptions() -> None:
    parent = read("parent: {url: 'http://p:1', except: [.Example.org, 'hôte.', 10.0.0.0/8, '::1']}").parent
    assert parent is not None
    assert parent.exceptions == (
        ".example.org",
        "xn--hte-kna",
        ip_network("10.0.0.0/8"),
        ip_network("::1/128"),
    )


PRINT = "AB:" * 31 + "CD"


@pytest.mark.parametrize(
    "written",
    [
        PRINT,
        PRINT.lower(),
        PRINT.replace(":", ""),
        f"sha256:{PRINT}",
        f"SHA256 Fingerprint={PRINT}",
        f"sha256 Fingerprint={PRINT}",
    ],
)
def test_tls_of_some_origins(written: str) -> None:
    items = f"{{hosts: [.Example.org., '[::1]'], ca_file: /c}}, {{hosts: b, certificates: '{written}'}}"
    config = read(f"fetch: {{tls: [{items}]}}")
    assert config.fetch.tls == (
        OriginTlsOptions(hosts=(".example.org", "::1"), ca_file=Path("/c")),
        OriginTlsOptions(hosts=("b",), certificates=(PRINT,)),
    )
    assert read(dump(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers: 0", "workers: 0 is not a count: a whole number from 1"),
        ("workers: 2.5", "workers: 2.5 is not a count"),
        ("workers: yes", "workers: true is not a count"),
        ("worker: 2", "worker: unknown key, did you mean workers; accepted here: listen, allow, "),
        ("zzz: 2", "zzz: unknown key; accepted here: listen, allow, "),
        (
            "max_size: 1G",
            "max_size: unknown key, did you mean store.max_size or routes.introspect.pass_on.max_size; ",
        ),
        (
            "silence: 1m",
            "silence: unknown key, did you mean fetch.silence or rules.silence or routes.silence; ",
        ),
        ("rules: [{path: x}]", "rules[0].path: unknown key, did you mean match.path; accepted"),
        ("1: 2", "1: unknown key; accepted here: "),
        ("store: {max_szie: 1G}", "store.max_szie: unknown key, did you mean max_size; accepted here: "),
        ("store: {max_size: 20Q}", "store.max_size: '20Q' is not a size: a number, alone or with"),
        ("store: {max_size: -1}", "store.max_size: -1 is not a size"),
        ("store: {max_size: true}", "store.max_size: true is not a size"),
        ("store: {max_size: [1G]}", "store.max_size: ['1G'] is not a size"),
        (f"store: {{max_size: {'9' * 400}T}}", "store.max_size: "),
        ("store: {unused: 1y}", "store.unused: '1y' is not an age: a number, alone or with s"),
        ("store: {unused: .inf}", "store.unused: inf is not an age"),
        ("store: {unused: .nan}", "store.unused: nan is not an age"),
        ("store: {reserve: 101%}", "store.reserve: '101%' is not a reserve: a share of the disk as in 5%"),
        ("store: {reserve: x%}", "store.reserve: 'x%' is not a reserve"),
        ("store: {reserve: 5% up to}", "store.reserve: '5% up to' is not a reserve"),
        ("store: {reserve: 5% up to 10%}", "store.reserve: '5% up to 10%' is not a reserve"),
        ("store: {reserve: 5 up to 4G}", "store.reserve: '5 up to 4G' is not a reserve"),
        ("store: {reserve: much}", "store.reserve: 'much' is not a reserve"),
        ("store: {path: 3}", "store.path: 3 is not a path"),
        ("store: {path: ~nobody-of-this-name/x}", "store.path: '~nobody-of-this-name/x' is not a path"),
        ("store: 20G", "store: '20G' is not a section: keys with values, of path, max_size"),
        ("fetch: {silence: 0s}", "fetch.silence: '0s' is not a timeout: an age above zero"),
        ("fetch: {tls_verify: 'no'}", "fetch.tls_verify: 'no' is not true or false"),
        ("fetch: {tls: [{ca_file: /c}]}", "fetch.tls[0].hosts: is missing"),
        ("fetch: {tls: [{hosts: [], ca_file: /c}]}", "fetch.tls[0].hosts: [] is not accepted: name a host"),
        ("fetch: {tls: [{hosts: a}]}", "fetch.tls[0]: says nothing: 'ca_file' or 'certificates' is needed"),
        (
            "fetch: {tls: {hosts: ['*.a']}}",
            "fetch.tls.hosts[0]: '*.a' is not a host pattern: a host, .exam",
        ),
        (
            "fetch: {tls: [{hosts: [b, 3]}]}",
            "fetch.tls[0].hosts[1]: 3 is not a host pattern: a host, .exam",
        ),
        (
            "fetch: {tls: {hosts: a, certificates: xy}}",
            "fetch.tls.certificates: 'xy' is not a fingerprint: the",
        ),
        (
            "fetch: {tls: [{hosts: a, certificate: 1}]}",
            "fetch.tls[0].certificate: unknown key, did you mean",
        ),
        ("allow: [10.0.0.0/8, lan]", "allow[1]: 'lan' is not a network, as in 192.168.0.0/16"),
        ("allow: 10.1.2.3/8", "allow: '10.1.2.3/8' is not a network, but an address in 10.0.0.0/8"),
        ("allow: 10", "allow: 10 is not a network"),
        ("allow_accounts: [-1]", "allow_accounts[0]: -1 is not a user of this machine: a name or a number"),
        ("allow_accounts: true", "allow_accounts: true is not a user of this machine"),
        ("listen: 3128", "listen: 3128 is not an address, as in 127.0.0.1:3128, '[::1]"),
        ("listen: 127.0.0.1", "listen: '127.0.0.1' is not an address"),
        ("listen: host:70000", "listen: 'host:70000' is not an address"),
        ("listen: 127.0.0.1:0", "listen: '127.0.0.1:0' leaves the port to the system: name one"),
        ("listen: ['h:1', ':00']", "listen[1]: ':00' leaves the port to the system: name one"),
        ("listen: '[::g]:3128'", "listen: '[::g]:3128' is not an address"),
        ("listen: unix:relative", "listen: 'unix:relative' is not an address"),
        ("listen: [[a]]", "listen[0]: ['a'] is not an address"),
        ("listen: {tls: {}}", "listen.tls.certificate: is missing, and has no default"),
        (f"listen: {{tls: {{{PAIR}}}}}", "listen.address: is missing, and has no default"),
        ("listen: {address: h}", "listen.address: 'h' is not an address, as in 127.0.0.1:3128"),
        ("listen: [{address: 'h:1', port: 1}]", "listen[0].port: unknown key; accepted here: address, tls"),
        (
            "listen: [a:1, {address: 'h:1', tls: yes}]",
            "listen[1].tls: true is not a section: keys with valu",
        ),
        ("listen: [{address: 'h:1', tls: {key: /k}}]", "listen[0].tls.certificate: is missing"),
        (
            "listen: [{address: 'h:1', tls: {key: 1, certificate: /c}}]",
            "listen[0].tls.key: 1 is not a path",
        ),
        (
            f"listen: [{{address: 'h:1', tls: {{{PAIR}, certifcate: /c}}}}]",
            "listen[0].tls.certifcate: unknown key, did you mean certificate; accepted here: certificate, ",
        ),
        (
            f"listen: ['h:1', {{address: 'h:1', tls: {{{PAIR}}}}}]",
            "listen[1]: 'h:1' and 'h:1' are the same",
        ),
        (
            "mirrors: {a: {ecosystem: npm, upstream: 'http://up', registries: [x]}}",
            "mirrors.a.registries: is accepted only with 'ecosystem: oci', not with 'npm': leave it out",
        ),
        (
            "mirrors: {a: {ecosystem: npm, upstream: 'http://up', block: ['@b/x==1', 'x@1.0']}}",
            "mirrors.a.block[1]: 'x@1.0' is not a package's name, or its name and version",
        ),
        (
            "mirrors: {off: {ecosystem: npm, upstream: 'http://up'}}",
            "mirrors.False: false is not text: put it in quotes; a mirror's name",
        ),
        (
            "mirrors: {a: {ecosystem: npm, upstream: 'http://u:p@up'}}",
            "mirrors.a.upstream: user names and passwords are not written here, before '@up': "
            "for a parent, parent.credentials names a file of them, for a mirror, mirrors.",
        ),
        (
            "mirrors: {a: {ecosystem: npm, upstream: 'http://up', verify: on}}",
            "mirrors.a.verify: true is not one of strict, warn, off",
        ),
        (
            "mirrors: {a: {ecosystem: npm, upstream: 'http://up', sumdb: {s.test: 'http://s'}}}",
            "mirrors.a.sumdb: is accepted only with 'ecosystem: go', and not with 'npm': leave it out",
        ),
        (
            "mirrors: {a: {ecosystem: go, upstream: 'http://up', sumdb: {s/t: 'http://s'}}}",
            "mirrors.a.sumdb.s/t: 's/t' is not the name of a checksum database, as in sum.example.org",
        ),
        ("listen: []", "listen: [] is not accepted: name an address at least"),
        ("listen: ['h:1', 'h:1']", "listen[1]: 'h:1' and 'h:1' are the same port"),
        ("listen: ['127.0.0.1:1', '0.0.0.0:1']", "listen[1]: '0.0.0.0:1' and '127.0.0.1:1' are"),
        ("listen: [':1', 'h:2', '127.0.0.1:1']", "listen[2]: '127.0.0.1:1' and '[::]:1' are"),
        ("listen: ['unix:/a', 'unix:/a']", "listen[1]: 'unix:/a' and 'unix:/a' are"),
        ("upstream: example.org", "upstream: 'example.org' is not a URL, as in http://host:port ("),
        ("upstream: ftp://example.org", "upstream: 'ftp://example.org' is not a URL"),
        ("upstream: 80", "upstream: 80 is not a URL"),
        ("upstream: http://host/base?q=1", "upstream: 'http://host/base?q=1' is not an origin's URL"),
        ("proxy_auth: {}", "proxy_auth.users: is missing"),
        ("proxy_auth: /u", "proxy_auth: '/u' is not a section"),
        ("proxy_auth: {users: /u, realm: 7}", "proxy_auth.realm: 7 is not text"),
        ("proxy_auth: {users: /u, realm: ä}", "proxy_auth.realm: 'ä' is not a realm: text of printable"),
        ('proxy_auth: {users: /u, realm: "a\\nb"}', "proxy_auth.realm: 'a\\nb' is not a realm"),
        (
            "{upstream: 'http://h', proxy_auth: {users: /u}}",
            "proxy_auth: clients of a reverse proxy send no",
        ),
        ("transparent: {http: 'unix:/x'}", "transparent.http: 'unix:/x' is a Unix socket"),
        (
            "transparent: {http: [':1', ':2'], https: ':2'}",
            "transparent.https[0]: '[::]:2' and '[::]:2' are",
        ),
        ("transparent: {https: ':3128'}", "transparent.https[0]: '[::]:3128' and '127.0.0.1:3128' are"),
        ("{upstream: 'http://h', transparent: {http: ':1'}}", "transparent: clients that do not know of"),
        (
            "{proxy_auth: {users: /u}, transparent: {http: ':1'}}",
            "transparent: clients that do not know of",
        ),
        ("parent: {except: [a]}", "parent.url: is missing"),
        ("parent: http://proxy:1/path", "parent: 'http://proxy:1/path' is not a proxy's URL"),
        ("parent: {url: 'http://p:1', except: ['*.a']}", "parent.except[0]: '*.a' is not an exception"),
        ("parent: https://proxy:1", "parent: 'https://proxy:1' is not a URL with http: the parent is"),
        ("parent: {url: 'http://p:1', except: ['*']}", "parent.except[0]: '*' is not an exception"),
        ("parent: {url: 'http://p:1', except: [10.0.0.1/8]}", "parent.except[0]: '10.0.0.1/8' is not a"),
        ("{upstream: 'http://h', intercept: {hosts: h}}", "intercept: a reverse proxy opens no tunnels"),
        ("{fetch: {tls_verify: false}, intercept: {hosts: h}}", "intercept: clients rely on the cache to"),
        ("{store: {path: /c}, intercept: {ca: /c/ca}}", "intercept.ca: /c/ca is in the cache, which may"),
        ("{store: {path: /c}, intercept: {ca: /c}}", "intercept.ca: /c is in the cache, which may"),
        ("kisscache: {instance: 7}", "kisscache.instance: 7 is not text: put it in quotes"),
        ("log: {access: 7}", "log.access: 7 is not a path, as in /var/log/pyproxycache.log, '-' or 'sys"),
        ("log: {access: ''}", "log.access: '' is not a path, as in /var/log/pyproxycache.log, '-' or"),
        ("log: {access: 'syslog:h'}", "log.access: 'syslog:h' is not syslog:, syslog:/path/to/socket or"),
        ("log: {level: loud}", "log.level: 'loud' is not one of debug, info, warning, error"),
        ("rules: [{match: {path: '('}}]", "rules[0].match.path: '(' is not a regular expression, as in"),
        ("rules: [{match: {path: 1}}]", "rules[0].match.path: 1 is not text"),
        (
            "rules: [{}, {match: {status: [200, 600]}}]",
            "rules[1].match.status[1]: 600 is not a status: 404",
        ),
        ("rules: [{match: {status: 2x}}]", "rules[0].match.status: '2x' is not a status"),
        ("rules: [{fresh: soon}]", "rules[0].fresh: 'soon' is not an age"),
        ("rules: [{fresh: {200: soon}}]", "rules[0].fresh: 'soon' is not an age"),
        ("rules: [{fresh: {all: 1d}}]", "rules[0].fresh: 'all' is not any or a status: 404, or 4xx"),
        ("rules: [{ignore: [set cookie]}]", "rules[0].ignore[0]: 'set cookie' is not a header field"),
        ("rules: [{query: drop}]", "rules[0].query: 'drop' is not one of ignore, sort, keep"),
        ("rules: [{match: {status: 200}, query: sort}]", "rules[0].query: 'sort' is accepted only without"),
        ("rules: [no]", "rules[0]: false is not a section"),
        ("- 1", "[1] is not a configuration"),
        ("just text", "'just text' is not a configuration"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"proxy.yaml: {message}")


@pytest.mark.parametrize(
    "text",
    [
        "upstream: http://user:secret@host/",
        "upstream: user:secret@host",
        "parent: http://user:secret@proxy:3128",
        "parent: http://user:sec/secret@proxy:3128",
        "parent: {url: 'http://proxy:1', except: ['user:secret@host']}",
        "listen: user:secret@127.0.0.1:3128",
    ],
)
def test_a_password_is_in_no_message(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert "secret" not in str(caught.value)
    assert "parent.credentials" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "['h:1', 'h:2']",
        "['127.0.0.1:1', '[::1]:1']",
        "['0.0.0.0:1', '[::1]:1']",
        "['unix:/a', 'unix:/b']",
    ],
)
def test_addresses_side_by_side(text: str) -> None:
    assert len(read(f"listen: {text}").listen) == 2


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = """
        workers: many
        listn: 127.0.0.1:1
        store: {max_size: 1X, unused: soon}
        fetch: {silence: -1}
        rules: [{fresh: 1d}, {fresh: soon}, {match: {status: [200, 99]}}]
        """
    with pytest.raises(ConfigError) as caught:
        read(text)
    named = [line.split(": ")[:2] for line in str(caught.value).splitlines()]
    keys = ["workers", "listn", "store.max_size", "store.unused", "fetch.silence"]
    keys += ["rules[1].fresh", "rules[2].match.status[1]"]
    assert named == [["proxy.yaml", key] for key in keys]


def test_values_that_do_not_go_together_are_told_at_once() -> None:
    rules = "rules: [{match: {status: 200}, query: sort}, {}, {match: {status: 404}, query: ignore}]"
    with pytest.raises(ConfigError) as caught:
        read(f"listen: []\n{rules}")
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "listen",
        "rules[0].query",
        "rules[2].query",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers: 2\nthreads: 3\nworkers: 4\n", "proxy.yaml, line 3: 'workers' is given twice"),
        ("store:\n  path: /a\n  path: /b\n", "proxy.yaml, line 3: 'path' is given twice"),
        ("store: {path: /a\n", "proxy.yaml, line 2: "),
        ("listen: [::1]:3128\n", "proxy.yaml, line 1: "),
        ("? [a]\n: 1\n", "proxy.yaml, line 1: "),
        (
            "upstream: *.deb\n",
            "proxy.yaml, line 1: expected alphabetic or numeric character, but found '.'",
        ),
        ("a: !!python/object/apply:os.getcwd []\n", "proxy.yaml, line 1: "),
        ("a: 2024-99-99\n", "proxy.yaml: is not YAML: "),
        ("a: \x00\n", "proxy.yaml: is not YAML: "),
    ],
)
def test_not_yaml(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rules: [{match: {path: *.deb}}]", "needs quotes"),
        ("rules: [{match: {path: *}}]", "needs quotes"),
        ('rules: [{match: {path: "\\.deb$"}}]', "single quotes"),
        ("\tlisten: a:1", "spaces"),
        ("listen: @a:1", "quotes"),
        ("log:\n  level: info\n format: squid", "indented alike"),
        ("listen: a: 1", "needs quotes"),
        ("listen\nworkers: 2", "colon and a space"),
        ("just text", "keys with values"),
    ],
)
def test_yaml_that_is_wrong_comes_with_what_to_do(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert hint in str(caught.value)


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("workers: 3\nthreads: 7\nstore: {max_size: 1G, unused: 1d}\n")
    flags = {"workers": 4, "store.max_size": "2G", "store.path": tmp_path, "listen": (), "upstream": None}
    config = load(file, flags)
    assert (config.workers, config.threads) == (4, 7)
    assert (config.store.max_size, config.store.unused) == (2 << 30, 86400.0)
    assert config.store.path == tmp_path
    assert config.addresses == ("127.0.0.1:3128",)


def test_flags_need_no_file() -> None:
    config = load(None, {"listen": (":8080", "unix:/run/p"), "upstream": "http://example.org"})
    assert config.addresses == ("[::]:8080", "unix:/run/p")
    assert config.upstream == Url("http", "example.org", 80, "/")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("store.max_size", "20Q", "--max-size: '20Q' is not a size"),
        ("store.unused", "1y", "--unused: '1y' is not an age"),
        ("store.path", "", "--cache-dir: '' is not a path"),
        ("listen", ("127.0.0.1",), "--listen: '127.0.0.1' is not an address"),
        ("upstream", "example.org", "--upstream: 'example.org' is not a URL"),
        ("workers", 0, "--workers: 0 is not a count"),
        ("threads", -1, "--threads: -1 is not a count"),
    ],
)
def test_a_flag_is_named_in_its_error(key: str, value: object, message: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("workers: 3\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {key: value})
    assert str(caught.value).startswith(message)
    assert key in FLAGS


def test_the_file_is_to_blame_for_a_section_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("store: 20G\n")
    with pytest.raises(ConfigError, match=r"proxy\.yaml: store: '20G' is not a section"):
        load(file, {"store.max_size": "1G"})


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"listen: \xff\n", "is not UTF-8 text")],
)
def test_unreadable_file(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(file))}: {message}"):
        load(file, {})


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, Path("~/.cache/pyproxycache").expanduser()),
        ({"XDG_CACHE_HOME": "/x"}, Path("/x/pyproxycache")),
        ({"XDG_CACHE_HOME": "relative"}, Path("~/.cache/pyproxycache").expanduser()),
        ({"CACHE_DIRECTORY": "/var/cache/pyproxycache"}, Path("/var/cache/pyproxycache")),
        ({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b", "XDG_CACHE_HOME": "/x"}, Path("/var/cache/a")),
    ],
)
def test_default_store_path(environ: dict[str, str], path: Path) -> None:
    assert default_store_path(environ) == path


@pytest.mark.parametrize(
    ("reserve", "disk", "room"),
    [
        (Share(percent=5), 1000, 50),
        (Share(percent=5, most=60), 1000, 50),
        (Share(percent=5, most=40), 1000, 40),
        (Share(size=70), 1000, 70),
        (Share(), 1000, 0),
    ],
)
def test_room_that_stays_free(reserve: Share, disk: int, room: int) -> None:
    assert reserve.of(disk) == room


RULES = r"""
rules:
  - match: {host: '(^|\.)EXAMPLE\.org$', path: '\.deb$'}
    fresh: 365d
    stale_if_error: 30d
  - match: {status: [404, 5xx], content_type: text/HTML}
    no_store: true
  - match: {path: ^/api/}
    fresh: {200: 7d, 301: 7d, 4xx: 5m, 404: 1h, any: 1m}
    ignore: [Set-Cookie, cache-control]
  - {query: ignore, silence: 5m}
"""
DEB = Policy(targets=TARGETS, fresh=365 * 86400.0, stale_if_error=30 * 86400.0)
API = frozenset({"set-cookie", "cache-control"})


@pytest.mark.parametrize(
    ("url", "status", "content_type", "policy"),
    [
        (Url("http", "ftp.example.org", 80, "/a.deb"), 200, "", DEB),
        (Url("http", "example.org", 80, "/a.deb?x"), 404, "", DEB),
        (
            Url("http", "a", 80, "/"),
            404,
            "text/html; charset=utf-8",
            Policy(targets=TARGETS, no_store=True),
        ),
        (Url("http", "a", 80, "/"), 503, "text/html", Policy(targets=TARGETS, no_store=True)),
        (
            Url("http", "a", 80, "/api/x"),
            200,
            "text/html",
            Policy(targets=TARGETS, fresh=604800.0, ignore=API),
        ),
        (Url("http", "a", 80, "/api/x"), 301, "", Policy(targets=TARGETS, fresh=604800.0, ignore=API)),
        (Url("http", "a", 80, "/api/x"), 404, "", Policy(targets=TARGETS, fresh=3600.0, ignore=API)),
        (Url("http", "a", 80, "/api/x"), 410, "", Policy(targets=TARGETS, fresh=300.0, ignore=API)),
        (Url("http", "a", 80, "/api/x"), 206, "", Policy(targets=TARGETS, fresh=60.0, ignore=API)),
        (
            Url("http", "a", 80, "/"),
            200,
            "",
            Policy(targets=TARGETS, query=QueryMode.IGNORE, silence=300.0),
        ),
    ],
)
def test_rules_become_policies(url: Url, status: int, content_type: str, policy: Policy) -> None:
    assert read(RULES).policies().about(url).for_response(status, content_type) == policy


@pytest.mark.parametrize(("target", "mode"), [("/api/?a", QueryMode.KEEP), ("/?a", QueryMode.IGNORE)])
def test_query_rule(target: str, mode: QueryMode) -> None:
    url = Url("http", "a", 80, target)
    assert read(RULES).policies().about(url).key == cache_key(url, mode)


SILENCES = r"""
rules:
  - {match: {host: ^slow}, silence: 5m}
  - {match: {content_type: ^video/}, silence: 2m}
  - {match: {path: ^/reports/}, silence: 10m}
  - {match: {host: ^events}, silence: 7s}
"""


@pytest.mark.parametrize(
    ("url", "content_type", "silence"),
    [
        ("http://slow.test/reports/", None, 300.0),
        ("http://a.test/reports/", None, 600.0),
        ("http://a.test/", None, None),
        ("http://a.test/reports/", "video/mp4", 120.0),
        ("http://a.test/reports/", "text/html", 600.0),
        ("http://a.test/", "", None),
        ("http://a.test/", "text/event-stream", 3600.0),
        ("http://a.test/", "Text/Event-Stream ; charset=utf-8", 3600.0),
        ("http://events.test/", "text/event-stream", 7.0),
    ],
)
def test_silence_by_rule(url: str, content_type: str | None, silence: float | None) -> None:
    """Before there is a response only the URL is known."""
    policies = read(SILENCES).policies()
    host, _, target = url.removeprefix("http://").partition("/")
    head = None if content_type is None else Head(200, "", Headers([("Content-Type", content_type)]))
    assert policies.silence(Url("http", host, 80, f"/{target}"), head) == silence
    assert policies.longest_silence(60.0) == 600.0
    assert policies.longest_silence(900.0) == 900.0


EVERYTHING = """
listen: [':3128', 'unix:/run/p']
upstream: https://example.org:8443/x
parent: {url: 'http://p:1', except: [.a, 10.0.0.0/8, '::1']}
store: {path: /srv/cache, max_size: 1536M, unused: 0.3, reserve: 2.5%, max_object: 1000}
fetch: {range_ahead: 0, silence: 90, ca_file: /etc/ca.pem, tls: {hosts: [.A, '*'], ca_file: /c}}
log: {access: '-'}
use: [{ecosystem: pypi, hosts: [.A, '*'], path: /root/}, npm]
"""


@pytest.mark.parametrize("text", ["", EVERYTHING, RULES, *EXAMPLES])
def test_dump_loads_again(text: str) -> None:
    config = read(text)
    assert read(dump(config)) == config


@given(st.integers(0, (1 << 63) - 1), st.floats(0, 1e300), st.floats(0, 100))
def test_dump_keeps_every_number(size: int, age: float, percent: float) -> None:
    config = read(yaml.safe_dump({"store": {"max_size": size, "unused": age, "reserve": f"{percent!r}%"}}))
    assert config.store.max_size == size
    assert config.store.unused == age
    assert read(dump(config)) == config


def test_configuration_is_frozen() -> None:
    with pytest.raises(AttributeError):
        read("").store.max_size = 1  # type: ignore[misc]


def accepted_keys(kind: Any, prefix: str = "") -> Iterator[str]:
    """All dotted keys; those of a list's items as if there were one item."""
    for info in fields(kind):
        inside = () if get_origin(info.type) is Annotated else (info.type, *get_args(info.type))
        sections = [t for t in inside if isinstance(t, type) and issubclass(t, msgspec.Struct)]
        if not sections or get_origin(info.type) in (tuple, dict):
            yield f"{prefix}{info.encode_name}"
        for section in sections:
            yield from accepted_keys(section, f"{prefix}{info.encode_name}.")


def manual_rows() -> list[tuple[str, str, str]]:
    """Key, default and flag of each row that documents a key."""
    return re.findall(r"^\| `([a-z_.]+)` \| (.*?) \| (.*?) \| .+ \|$", MANUAL.read_text(), re.MULTILINE)


def test_the_manual_has_every_key() -> None:
    documented = [key for key, _default, _flag in manual_rows()]
    accepted = [key for key in accepted_keys(Config) if not key.startswith("hosts.routes.")]  # as `routes.`
    assert sorted(documented) == sorted(["parent", *accepted])


def test_the_manual_has_the_defaults() -> None:
    defaults = yaml.safe_load(dump(read("")))
    told_in_words = set()
    for key, default, _flag in manual_rows():
        section, _dot, name = key.partition(".")
        if (
            section
            in ("events", "hosts", "listen", "mirrors", "parent", "proxy_auth", "routes", "rules", "use")
            and name
        ) or "." in name:
            continue
        if re.fullmatch("`[^`]*`", default):
            value = defaults[section][name] if name else defaults[key]
            assert yaml.safe_load(default.strip("`")) == value, key
        else:
            told_in_words.add(key)
    assert told_in_words == {"store.path", "guard.deny", "intercept.ca"}


def test_the_manual_has_every_flag() -> None:
    variables = {flag: "PYPROXYCACHE_" + flag[2:].upper().replace("-", "_") for flag in FLAGS.values()}
    documented = {key: flags for key, _default, flags in manual_rows() if flags}
    assert documented == {key: f"`{flag}` `{variables[flag]}`" for key, flag in FLAGS.items()}


def test_the_manual_has_an_example() -> None:
    config = read(max(EXAMPLES, key=len))
    assert config.store.max_size == 200 << 30
    assert config.rules[0].fresh == 365 * 86400.0


def test_off_needs_no_quotes() -> None:
    text = "mirrors: {a: {ecosystem: npm, upstream: 'http://up', verify: off}}"
    assert parse(text, "test.yaml").mirrors["a"].verify == "off"
