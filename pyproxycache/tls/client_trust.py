"""How clients with a store of their own are told to trust an authority: lines for people."""

from __future__ import annotations

_WAYS = """
Firefox   /etc/firefox/policies/policies.json: {{"policies": {{"Certificates": {{"Install": ["{file}"]}}}}}}
Chromium  mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n pyproxycache -i {file}
Java      keytool -importcert -noprompt -cacerts -storepass changeit -alias pyproxycache -file {file}
Node      export NODE_EXTRA_CA_CERTS={file}
Python    export REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt  (requests, pip: the system's store)
Windows   certutil -addstore -f Root ca.pem
macOS     sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.pem
"""


def ways_to_trust(file: str) -> list[tuple[str, str]]:
    """For each kind of client, what to run or to write; `file` is the path of the certificate."""
    lines = _WAYS.format(file=file).strip().splitlines()
    return [(who, how.strip()) for who, _, how in (line.partition(" ") for line in lines)]
