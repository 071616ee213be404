"""The environment variables by which programs find the cache, and trust what it answers: a table.

What each program reads is in its own documentation; docs/run.md lists those that read none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROXIES = (
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "npm_config_proxy",  # npm, pnpm and yarn 1, where their files name another one
    "npm_config_https_proxy",
    "YARN_HTTP_PROXY",  # yarn from 2 on
    "YARN_HTTPS_PROXY",
    "PIP_PROXY",
    "CARGO_HTTP_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY",  # programs for Node with global-agent
    "CGI_HTTP_PROXY",  # composer, and others that take HTTP_PROXY for a request field
)
"""Variables with the URL of the proxy."""

EXCEPTIONS = ("no_proxy", "NO_PROXY", "npm_config_noproxy")
"""Variables with the hosts that are asked directly."""

SWITCHES = {
    "NODE_USE_ENV_PROXY": "1",  # Node's own fetch and http, from 22.21 and 24.5 on
    "ELECTRON_GET_USE_PROXY": "1",
    "PERL_LWP_ENV_PROXY": "1",
}
"""Variables that have programs read the proxy's variables."""

TRUST_SWITCHES = {
    "UV_NATIVE_TLS": "true",  # uv then takes the system's store, which is what SSL_CERT_FILE names
}
"""Variables that have programs read the bundle's variables."""

BUNDLES = (
    "SSL_CERT_FILE",  # OpenSSL, Go, Python's ssl, Ruby, .NET, rustls, curl, uv
    "REQUESTS_CA_BUNDLE",  # Python's requests, and so poetry, conda, huggingface_hub
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "npm_config_cafile",  # npm, pnpm, yarn 1
    "YARN_HTTPS_CA_FILE_PATH",  # yarn from 2 on
    "CARGO_HTTP_CAINFO",
    "BUNDLE_SSL_CA_CERT",
    "AWS_CA_BUNDLE",
    "CONDA_SSL_VERIFY",
    "COMPOSER_CAFILE",
    "HEX_CACERTS_PATH",
    "PERL_LWP_SSL_CA_FILE",
    "NIX_SSL_CERT_FILE",
    "JULIA_SSL_CA_ROOTS_PATH",
    "SYSTEM_CERTIFICATE_PATH",  # programs in Haskell
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
"""Variables with a file of all authorities that a program is to trust."""

ADDED = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables with a file of authorities to trust beside those that the program knows."""

DIRECTORIES = ("SSL_CERT_DIR",)
"""Variables with a folder of authorities; they stay, and what is in the folder joins the bundle."""

FILES = {"APT_CONFIG": "apt.conf", "WGETRC": "wgetrc"}
"""Variables with a file of settings, for programs that read no other ones, and its name here."""
APT_LAST = "apt-last.conf"

JAVA = "JAVA_TOOL_OPTIONS"
REPLACED = "PYPROXYCACHE_REPLACED"
"""The variable with the file that says what was set before, for a run in a run."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1")  # some programs fail if they read ::1 there
TRUST_STORE_PASSWORD = "changeit"
"""What Java's tools take as the password where nobody says another one; the store has no secret."""


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """The files by which programs trust the cache's authority.

    `bundle` has all authorities, `added` those beside the system's; `trust_store` is Java's (PKCS12).
    """

    bundle: Path
    added: Path
    trust_store: Path


@dataclass(frozen=True, slots=True)
class Around:
    """What the variables lead to: the proxy (host and port), and the folder with the files of settings.

    `trust` is None if the cache intercepts nothing. `replaced` is the file that says what was set before.
    """

    host: str
    port: int
    folder: Path
    replaced: Path
    trust: TrustFiles | None
    scheme: str = "http"

    @property
    def proxy(self) -> str:
        """The URL of the proxy."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def variables(environ: Mapping[str, str], around: Around) -> dict[str, str]:
    """The variables to set for a program that would otherwise have this environment."""
    found = dict.fromkeys(PROXIES, around.proxy)
    found |= dict.fromkeys(EXCEPTIONS, ",".join(exceptions(environ)))
    found |= SWITCHES
    found |= {name: str(around.folder / file) for name, file in FILES.items()}
    found[JAVA] = " ".join(filter(None, [environ.get(JAVA, ""), *java_options(environ, around)]))
    found[REPLACED] = str(around.replaced)
    if around.trust is not None:
        found |= dict.fromkeys(BUNDLES, str(around.trust.bundle))
        found |= dict.fromkeys(ADDED, str(around.trust.added))
        found |= TRUST_SWITCHES
    return found


def exceptions(environ: Mapping[str, str]) -> list[str]:
    """The hosts that programs ask directly: those they had before, and this machine."""
    had = (host.strip() for name in EXCEPTIONS for host in environ.get(name, "").split(","))
    return list(dict.fromkeys(filter(None, (*had, *LOOPBACK_NAMES))))


def java_options(environ: Mapping[str, str], around: Around) -> list[str]:
    """The options for a Java machine, which prints a line to standard error to say that it has some."""
    properties = {
        "http.proxyHost": around.host,
        "http.proxyPort": str(around.port),
        "https.proxyHost": around.host,
        "https.proxyPort": str(around.port),
        "http.nonProxyHosts": "|".join(_java_patterns(exceptions(environ))),
    }
    if around.trust is not None:
        properties |= {
            "javax.net.ssl.trustStore": str(around.trust.trust_store),
            "javax.net.ssl.trustStoreType": "PKCS12",
            "javax.net.ssl.trustStorePassword": TRUST_STORE_PASSWORD,
        }
    return [_java_word(f"-D{name}={value}") for name, value in properties.items()]


def _java_patterns(hosts: list[str]) -> list[str]:
    """The hosts as Java writes them: with * for a part of a name. It knows no networks."""
    patterns = []
    for host in hosts:
        if "/" in host:
            continue
        if host == "*":
            patterns.append(host)
        elif host.startswith((".", "*.")):
            patterns.append(f"*.{host.lstrip('*').lstrip('.')}")
        elif ":" in host:
            patterns.append(f"[{host.strip('[]')}]")
        elif host.replace(".", "").isdigit():
            patterns.append(host)
        else:
            patterns += [host, f"*.{host}"]
    return list(dict.fromkeys(patterns))


def _java_word(text: str) -> str:
    """The option as one word of JAVA_TOOL_OPTIONS: blanks part words, unless they are in quotes."""
    if not any(character.isspace() or character in "'\"" for character in text):
        return text
    quote = '"' if "'" in text else "'"
    return f"{quote}{text}{quote}"


def apt_settings(around: Around, before: str | None, main: Path | None) -> tuple[str, str]:
    """The file that APT_CONFIG names, and the file `apt-last.conf` beside it, which apt reads last.

    apt reads what APT_CONFIG names first, so that all other files overrule it; but it may name the file
    that is read last. `before` is the file that APT_CONFIG named, `main` the one that is usually the last.
    """
    first = [f'#include "{before}";'] if before else []
    first.append(f'Dir::Etc::main "{around.folder / APT_LAST}";')
    last = [f'#include "{main}";'] if main else []
    last += [f'Acquire::{scheme}::Proxy "{around.proxy}";' for scheme in ("http", "https")]
    if around.trust is not None:
        last.append(f'Acquire::https::CAInfo "{around.trust.bundle}";')
    return "\n".join(first) + "\n", "\n".join(last) + "\n"


def wget_settings(environ: Mapping[str, str], around: Around, before: str) -> str:
    """The file that WGETRC names: what that file, or the user's own, said `before`, and what is new."""
    lines = [before.rstrip("\n"), f"http_proxy = {around.proxy}", f"https_proxy = {around.proxy}"]
    lines.append(f"no_proxy = {','.join(exceptions(environ))}")
    if around.trust is not None:
        lines.append(f"ca_certificate = {around.trust.bundle}")
    return "\n".join(filter(None, lines)) + "\n"
