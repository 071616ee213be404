"""Programs and libraries that get a file by HTTP."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from client import FILE_DIGEST, MODULES, PYTHON, Client, Told, Visit, file_at, last_word, variables

NODE_24 = next(iter(MODULES.glob("node-linux-*")), MODULES / "node-linux") / "bin" / "node"

_PYTHON = {
    "requests": """
import hashlib, sys, requests
print(hashlib.sha256(requests.get(sys.argv[1], timeout=60).content).hexdigest())
""",
    "httpx": """
import hashlib, sys, httpx
print(hashlib.sha256(httpx.get(sys.argv[1], timeout=60).raise_for_status().content).hexdigest())
""",
    "aiohttp": """
import asyncio, hashlib, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(sys.argv[1]) as answer:
        print(hashlib.sha256(await answer.read()).hexdigest())
asyncio.run(main())
""",
    "websockets": """
import asyncio, hashlib, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as connection:
        for word in ("hello", "again"):
            await connection.send(word)
            print(hashlib.sha256((await connection.recv()).encode()).hexdigest())
asyncio.run(main())
""",
}

_UNDICI = """
const { EnvHttpProxyAgent, fetch } = require('undici');
const crypto = require('crypto');
fetch(process.argv[2], { dispatcher: new EnvHttpProxyAgent() }).then(async (answer) => {
  if (!answer.ok) throw new Error(answer.status);
  console.log(crypto.createHash('sha256').update(Buffer.from(await answer.arrayBuffer())).digest('hex'));
}).catch((error) => { console.error(error); process.exit(1); });
"""
_PROXY_AGENT = _UNDICI.replace("EnvHttpProxyAgent", "ProxyAgent").replace(
    "ProxyAgent()", "ProxyAgent(process.env.https_proxy)"
)
_FETCH = _UNDICI.replace("const { EnvHttpProxyAgent, fetch } = require('undici');\n", "").replace(
    ", { dispatcher: new EnvHttpProxyAgent() }", ""
)

_JAVA = """
import java.net.URI;
import java.net.http.*;
import java.security.MessageDigest;
import java.util.HexFormat;

public class Get {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newBuilder().proxy(java.net.ProxySelector.getDefault()).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        HttpResponse<byte[]> answer = client.send(request, HttpResponse.BodyHandlers.ofByteArray());
        if (answer.statusCode() != 200) throw new Exception("status " + answer.statusCode());
        System.out.println(HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(answer.body())));
    }
}
"""


def _url(visit: Visit) -> str:
    return f"{visit.places.origin}/file"


def _python(library: str) -> Client:
    def command(visit: Visit) -> list[str | Path]:
        url = visit.places.echo if library == "websockets" else _url(visit)
        return [PYTHON / "python", visit.write("client.py", _PYTHON[library]), url]

    ca = "REQUESTS_CA_BUNDLE" if library == "requests" else "SSL_CERT_FILE"
    is_echo = library == "websockets"
    return Client(
        name=f"Python {library}",
        told_by=f"`https_proxy`, `{ca}`" + (", `trust_env=True`" if library == "aiohttp" else ""),
        tools=(PYTHON / "python",),
        command=command,
        got=last_word,
        telling=variables("https_proxy", ca=[ca]),
        digest=_digest_of_again() if is_echo else FILE_DIGEST,
        version=(
            str(PYTHON / "python"),
            "-c",
            f"import importlib.metadata as m; print(m.version({library!r}))",
        ),
        asks_anew="a WebSocket is relayed" if is_echo else "",
        is_cached=not is_echo,
    )


def _digest_of_again() -> str:
    import hashlib

    return hashlib.sha256(b"again").hexdigest()


def _node(name: str, script: str, told_by: str, node: Path | str = "node", **further: str) -> Client:
    def command(visit: Visit) -> list[str | Path]:
        return [node, visit.write("client.js", script), _url(visit)]

    def telling(told: Told) -> Mapping[str, str]:
        return {"https_proxy": told.proxy, "NODE_EXTRA_CA_CERTS": str(told.ca), **further}

    return Client(
        name=name,
        told_by=told_by,
        tools=(node, *([MODULES / "undici"] if "undici" in script else [])),
        command=command,
        got=last_word,
        telling=telling,
        variables=lambda _visit: {"NODE_PATH": str(MODULES)},
        version=(str(node), "--version"),
    )


def _java(told: Told) -> Mapping[str, str]:
    store = told.ca.with_suffix(".p12")
    if not store.exists():
        command = f"keytool -importcert -noprompt -storepass changeit -storetype PKCS12 -file {told.ca}"
        subprocess.run([*command.split(), "-keystore", str(store)], check=True, capture_output=True)
    proxy = urlsplit(told.proxy)
    return {
        "JAVA_TOOL_OPTIONS": f"-Dhttps.proxyHost={proxy.hostname} -Dhttps.proxyPort={proxy.port} "
        f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    }


def _wget(visit: Visit) -> list[str | Path]:
    trust = [f"--ca-certificate={visit.told.ca}"] if visit.told else []
    return ["wget", "-q", "-t", "1", *trust, "-O", "out", _url(visit)]


def _chromium(visit: Visit) -> list[str | Path]:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    options += [f"--user-data-dir={visit.folder / 'profile'}", "--virtual-time-budget=20000"]
    options += ["--disable-background-networking", "--disable-component-update"]
    if visit.told is not None:
        options.append(f"--proxy-server={visit.told.proxy}")
        database = visit.folder / ".pki" / "nssdb"
        database.mkdir(parents=True)
        place = ["-d", f"sql:{database}"]
        subprocess.run(["certutil", *place, "-N", "--empty-password"], check=True, capture_output=True)
        added = ["certutil", *place, "-A", "-n", "tests", "-t", "C,,", "-i", str(visit.told.ca)]
        subprocess.run(added, check=True, capture_output=True)
    return ["chromium", *options, "--dump-dom", f"{visit.places.origin}/page"]


def _digest_on_page(_visit: Visit, said: str) -> str:
    return said.partition('id="digest">')[2].partition("<")[0]


HTTP_CLIENTS = (
    Client(
        name="curl",
        told_by="`https_proxy`, `CURL_CA_BUNDLE`",
        tools=("curl",),
        command=lambda visit: ["curl", "-fsS", "-o", "out", _url(visit)],
        got=file_at("out"),
        telling=variables("https_proxy", ca=["CURL_CA_BUNDLE"]),
        version=("curl", "--version"),
    ),
    Client(
        name="wget",
        told_by="`https_proxy`, `wget --ca-certificate`",
        tools=("wget",),
        command=_wget,
        got=file_at("out"),
        telling=variables("https_proxy"),
        version=("wget", "--version"),
    ),
    *map(_python, _PYTHON),
    _node("Node, undici's `EnvHttpProxyAgent`", _UNDICI, "`https_proxy`, `NODE_EXTRA_CA_CERTS`"),
    _node(
        "Node, undici's `ProxyAgent`", _PROXY_AGENT, "the proxy's URL in the program, `NODE_EXTRA_CA_CERTS`"
    ),
    _node(
        "Node's `fetch`",
        _FETCH,
        "`NODE_USE_ENV_PROXY=1` (from 22.21 on), `https_proxy`, `NODE_EXTRA_CA_CERTS`",
        NODE_24,
        NODE_USE_ENV_PROXY="1",
    ),
    Client(
        name="Java's HttpClient",
        told_by="`https.proxyHost`, `https.proxyPort`, `javax.net.ssl.trustStore` in `JAVA_TOOL_OPTIONS`",
        tools=("java", "keytool"),
        command=lambda visit: ["java", visit.write("Get.java", _JAVA), _url(visit)],
        got=last_word,
        telling=_java,
        version=("java", "--version"),
    ),
    Client(
        name="Chromium",
        told_by="`chromium --proxy-server`, the authority in NSS's database (`certutil`)",
        tools=("chromium", "certutil"),
        command=_chromium,
        got=_digest_on_page,
        telling=lambda _told: {},
        version=("chromium", "--version"),
        not_by_run="it takes the proxy and the authority from no variable",
    ),
)
