from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from offload.cli.demo.known_keys import private_keys
from offload.cli.tokens import opened


def test_they_are_the_keys_of_the_token(made_state: Path) -> None:
    keys = private_keys(made_state / "token", made_state / "token.passphrase")
    with opened(made_state / "worker.toml", None, None) as token:
        records = {record.label: record.public_key for record in token.keys()}
    public = {
        label: load_der_private_key(key, None)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for label, key in keys.items()
    }
    assert public == records
