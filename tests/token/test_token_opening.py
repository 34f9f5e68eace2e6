"""Opening what the configuration names, before or after a fork."""

from pathlib import Path

import pytest
from support import softhsm
from support.tokens import CHEAP

from offload.config import Pkcs11TokenSettings, SoftwareTokenSettings
from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.base import TokenError, TokenNotFound
from offload.token.opening import open_token, opener, opens_before_fork
from offload.token.software import SoftwareToken

# The supervisor that this is made for has no threads; other tests of this process have left some.
FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def software(tmp_path: Path) -> SoftwareTokenSettings:
    SoftwareToken.create(tmp_path / "token", b"open sesame", CHEAP)
    secret = tmp_path / "passphrase"
    secret.touch(0o600)
    secret.write_text("open sesame\n")
    return SoftwareTokenSettings(directory=tmp_path / "token", passphrase_file=secret)


@pytest.fixture(scope="module")
def place() -> softhsm.HsmToken:
    return softhsm.new_token()


@pytest.fixture
def pkcs11(place: softhsm.HsmToken, tmp_path: Path) -> Pkcs11TokenSettings:
    secret = tmp_path / "pin"
    secret.touch(0o600)
    secret.write_bytes(place.pin + b"\n")
    return Pkcs11TokenSettings(
        kind="pkcs11", module=place.module, token_label=place.label, pin_file=secret
    )


def test_a_directory_is_opened_once_for_all_processes(software: SoftwareTokenSettings) -> None:
    assert opens_before_fork(software)
    opened = opener(software)
    assert opened() is opened()
    assert opened().kind == "software"


@FORKS
@pytest.mark.needs("softhsm2-util")
def test_an_hsm_is_opened_by_each_process(pkcs11: Pkcs11TokenSettings) -> None:
    assert not opens_before_fork(pkcs11)
    token = opener(pkcs11)()
    assert token.kind == "pkcs11"
    key = token.generate("key", Algorithm.P_256)
    assert token.sign(key.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, b"x")
    token.close()


@FORKS
@pytest.mark.needs("softhsm2-util")
def test_what_is_wrong_with_an_hsm_is_found_before_the_fork(
    pkcs11: Pkcs11TokenSettings, tmp_path: Path
) -> None:
    with pytest.raises(TokenError, match="no token 'absent'"):
        opener(pkcs11.model_copy(update={"token_label": "absent"}))
    (tmp_path / "pin").write_text("wrong\n")
    with pytest.raises(TokenError, match="refused the PIN") as raised:
        opener(pkcs11)
    assert "wrong" not in str(raised.value)


@pytest.mark.needs("softhsm2-util")
def test_the_pin_may_be_a_credential(
    pkcs11: Pkcs11TokenSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pkcs11.model_copy(update={"pin_file": None, "pin_credential": "pin"})
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(TokenNotFound, match="LoadCredential=pin:"):
        open_token(settings)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    open_token(settings).close()


@pytest.mark.needs("softhsm2-util")
def test_an_hsm_needs_the_extra(
    pkcs11: Pkcs11TokenSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "offload.token.pkcs11", None)
    with pytest.raises(TokenError, match="extra 'pkcs11'"):
        open_token(pkcs11)
