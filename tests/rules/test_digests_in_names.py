"""Which paths state a digest of their content."""

import pytest
from sample import head

from pyproxycache.rules.digests_in_names import digest_in_name, is_signed_manifest

MD5, SHA1, SHA256, SHA512 = ("0a" * length for length in (16, 20, 32, 64))


@pytest.mark.parametrize(
    ("path", "algorithm", "digest"),
    [
        (f"/debian/dists/sid/main/binary-all/by-hash/SHA256/{SHA256}", "sha-256", SHA256),
        (f"/by-hash/SHA512/{SHA512}", "sha-512", SHA512),
        (f"/by-hash/SHA1/{SHA1}", "sha", SHA1),
        (f"/by-hash/MD5Sum/{MD5}", "md5", MD5),
        (f"/v2/library/a/blobs/sha256:{SHA256}", "sha-256", SHA256),
        (f"/v2/a/manifests/sha512:{SHA512}", "sha-512", SHA512),
        (f"/{'a/' * 3000}v2/a/manifests/sha256:{SHA256}", "sha-256", SHA256),
    ],
)
def test_paths_that_state_one(path: str, algorithm: str, digest: str) -> None:
    (found,) = digest_in_name(path)
    assert (found.field, found.algorithm, found.digest) == ("name", algorithm, digest)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/by-hash/SHA256/{SHA1}",
        f"/by-hash/SHA256/{SHA256.upper()}",
        f"/by-hash/SHA256/{SHA256}/",
        f"/by-hash/SHA256/{SHA256}0",
        f"/by-hash/SHA224/{SHA256}",
        f"/by-hash/SHA256/{SHA256}\n",
        "/v2/a/manifests/latest",
        f"/v2/blobs/sha256:{SHA256}",
        f"/v1/a/blobs/sha256:{SHA256}",
        f"/v2/a/tags/sha256:{SHA256}",
        f"/v2/a/blobs/sha256:{SHA512}",
    ],
)
def test_paths_that_state_none(path: str) -> None:
    assert digest_in_name(path) == ()


def test_signed_manifests() -> None:
    form = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    assert is_signed_manifest(head(f"Content-Type: {form}; charset=utf-8"))
    assert not is_signed_manifest(head("Content-Type: application/vnd.oci.image.manifest.v1+json"))
