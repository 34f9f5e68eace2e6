"""The passphrase file."""

from pathlib import Path

import pytest

from offload.token.base import TokenError, TokenInsecure, TokenNotFound
from offload.token.passphrase import credential, read_passphrase, read_pin


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [(b"secret", b"secret"), (b"secret\n", b"secret"), (b"a b \r\nmore\n", b"a b ")],
)
def test_the_first_line_is_the_passphrase(
    tmp_path: Path, content: bytes, passphrase: bytes
) -> None:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_bytes(content)
    assert read_passphrase(path) == passphrase


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    with pytest.raises(TokenNotFound, match="put the token's passphrase there"):
        read_passphrase(path)
    path.touch(0o600)
    with pytest.raises(TokenError, match="is empty"):
        read_passphrase(path)
    path.write_text("secret")
    path.chmod(0o644)
    with pytest.raises(TokenInsecure, match="chmod 0600") as raised:
        read_passphrase(path)
    assert "secret" not in str(raised.value)


def test_a_linked_secret_mount_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch(0o400)
    path.chmod(0o600)
    path.write_text("secret")
    (tmp_path / "link").symlink_to(path)
    assert read_passphrase(tmp_path / "link") == b"secret"


def test_a_pin_is_read_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    with pytest.raises(TokenNotFound, match="put the token's PIN there"):
        read_pin(path)
    path.touch(0o600)
    path.write_bytes(b"1234\n")
    assert read_pin(path) == b"1234"
    path.chmod(0o644)
    with pytest.raises(TokenInsecure, match="chmod 0600"):
        read_pin(path)


def test_a_credential_is_a_file_of_systemds(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential("hsm-pin", environment) == tmp_path / "hsm-pin"
    with pytest.raises(TokenNotFound, match="LoadCredential=hsm-pin:/PATH"):
        credential("hsm-pin", {})
