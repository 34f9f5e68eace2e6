"""`[worker.token]`: a directory or an HSM."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from offload.config import Pkcs11TokenSettings, SoftwareTokenSettings, TokenSettings

ADAPTER: TypeAdapter[SoftwareTokenSettings | Pkcs11TokenSettings] = TypeAdapter(TokenSettings)


def test_a_directory_needs_no_kind() -> None:
    values = {"directory": "token", "passphrase_file": "secret"}
    for kind in ({}, {"kind": "software"}):
        read = ADAPTER.validate_python({**kind, **values})
        assert isinstance(read, SoftwareTokenSettings)
        assert read.directory == Path("token")


@pytest.mark.parametrize("name", [{"token_label": "keys"}, {"serial": "0a1b"}])
def test_an_hsm_is_named_by_label_or_serial(name: dict[str, str]) -> None:
    read = ADAPTER.validate_python({"kind": "pkcs11", **name})
    assert isinstance(read, Pkcs11TokenSettings)
    assert (read.module, read.pin_file, read.pin_credential) == (
        "libp11-kit.so.0",
        None,
        "offload-pin",
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "names no token; add 'token_label' or 'serial'"),
        ({"token_label": "keys", "module": "lib/module.so"}, "write its absolute path"),
        ({"token_label": "keys", "module": ""}, "names no module"),
        ({"token_label": "k" * 33}, "at most 32"),
        ({"token_label": "keys", "pin": "1234"}, "Extra inputs"),
        ({"token_label": "keys", "sessions": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_opened_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ADAPTER.validate_python({"kind": "pkcs11", **values})
