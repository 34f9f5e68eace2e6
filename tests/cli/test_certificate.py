import subprocess
from pathlib import Path

import pytest

from offload.cli import main


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
