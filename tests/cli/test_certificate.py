import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.commands import Commands
from support.pki import pem, shared_key

from offload.cli import main
from offload.cluster.authority import Authority
from offload.cluster.profile import CertificateProfile


@pytest.mark.parametrize("key", ["localhost-p256", "localhost-rsa"])
def test_openssl_verifies_a_request(
    made_state: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    config = str(made_state / "worker.toml")
    names = ["--name", "WWW.example.org", "-n", "10.0.0.1"]
    assert main.run(["certificate", "request", key, *names, "-c", config]) == 0
    command = ["openssl", "req", "-verify", "-noout", "-text"]
    output = capsys.readouterr().out
    done = subprocess.run(command, input=output, capture_output=True, text=True, check=False)
    assert "verify OK" in done.stderr
    assert "DNS:www.example.org, IP Address:10.0.0.1" in done.stdout


@pytest.mark.parametrize("key", ["localhost-p256", "localhost-rsa"])
def test_openssl_verifies_a_self_signed_certificate(
    made_state: Path, tmp_path: Path, key: str
) -> None:
    config = str(made_state / "worker.toml")
    path = tmp_path / "www.pem"
    options = ["--days", "5", "-o", str(path), "-c", config]
    assert main.run(["certificate", "self-sign", key, "-n", "*.example.org", *options]) == 0
    command = ["openssl", "verify", "-verify_hostname", "www.example.org", "-CAfile"]
    done = subprocess.run([*command, path, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    still = ["openssl", "x509", "-in", str(path), "-noout", "-checkend"]
    assert subprocess.run([*still, str(4 * 86_400)], check=False).returncode == 0
    assert subprocess.run([*still, str(6 * 86_400)], check=False).returncode == 1


@pytest.mark.parametrize("command", ["request", "self-sign"])
def test_a_broken_token_gives_no_certificate(
    made_state: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    from offload.token.software import SoftwareToken

    honest = SoftwareToken.sign
    monkeypatch.setattr(
        SoftwareToken, "sign", lambda self, ski, scheme, content: honest(self, ski, scheme, b"x")
    )
    config = str(made_state / "worker.toml")
    assert main.run(["certificate", command, "localhost-p256", "-n", "a.b", "-c", config]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("offload: error: the token's signature does not verify\n")


def test_a_cluster_key_s_certificate(embedded: Commands, tmp_path: Path) -> None:
    key = shared_key("p-256")
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))
    embedded("key", "import", "www", path)
    request = x509.load_pem_x509_csr(
        "\n".join(embedded("certificate", "request", "www", "-n", "www.example.org")).encode()
    )
    assert request.public_key() == key.public_key()
    assert request.is_signature_valid
    shown = embedded.json("certificate", "request", "www", "-n", "www.example.org")
    assert shown["request"].startswith("-----BEGIN CERTIFICATE REQUEST-----")
    chain = tmp_path / "chain.pem"
    made = Authority.create("ca", datetime.now(UTC)).issue(
        key.public_key(), ["www.example.org"], CertificateProfile.SERVER, datetime.now(UTC), 30
    )
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    installed = embedded("certificate", "install", "www", chain)
    assert installed == ["installed the certificate of 'www'"]
    embedded("key", "create", "other")
    assert embedded.refused("certificate", "install", "other", chain).startswith("offload: error: ")
    chain.write_bytes(b"\xff")
    assert "is not PEM" in embedded.refused("certificate", "install", "www", chain)


def test_a_cluster_key_signs_its_own_certificate_in_a_rotation(embedded: Commands) -> None:
    errors = embedded.refused("certificate", "self-sign", "www", "-n", "a.example")
    assert "offload key rotate www --issue self-signed" in errors
