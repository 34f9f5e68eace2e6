from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from offload.cli import main
from offload.cluster.authority import Authority, pem
from offload.cluster.profile import CertificateProfile


def test_syntax_leaves_the_files_out(
    state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = state_directory / "frontend.toml"
    (state_directory / "identities" / "frontend-1.key").unlink()
    assert main.run(["check", str(path)]) == 1
    assert "frontend.pool.identity.key" in capsys.readouterr().err
    assert main.run(["check", "--syntax", str(path)]) == 0


@pytest.mark.parametrize("arguments", [["check"], ["frontend", "-t", "-c"]])
def test_an_expired_certificate_is_a_warning(
    state_directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    then = datetime.now(UTC) - timedelta(days=100)
    authority = Authority.create("example", then)
    public = authority.certificate.public_key()
    made = authority.issue(public, ["localhost"], CertificateProfile.SERVER, then, 90)
    (state_directory / "certificates" / "localhost-p256.pem").write_bytes(pem(made))
    path = str(state_directory / "frontend.toml")
    assert main.run([*arguments, path]) == 0
    output, errors = capsys.readouterr()
    assert output == f"{path}: the configuration is good\n"
    assert errors.startswith(f"offload: warning: {path}: frontend.sites[0].certificates[0]: ")
    assert errors.endswith("offload: hint: clients refuse it, so renew it now\n")
