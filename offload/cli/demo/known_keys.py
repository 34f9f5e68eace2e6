"""The private keys of the demonstration's token, for the memory search to know what to look for.

A token gives no key away: this opens its files with the passphrase, as the token itself does.
"""

from __future__ import annotations

import json
from pathlib import Path

from offload.token.passphrase import read_passphrase
from offload.token.sealing import decode, open_header


def private_keys(directory: Path, passphrase_file: Path) -> dict[str, bytes]:
    """Label -> PKCS #8 DER of every key in the software token at `directory`."""
    header = (directory / "token.json").read_bytes()
    sealer = open_header(header, read_passphrase(passphrase_file))
    keys = {}
    for path in sorted(directory.glob("*.key")):
        public = json.loads(path.read_bytes())
        sealed = decode(public.pop("sealed"))
        bound = json.dumps(public, sort_keys=True).encode()
        keys[str(public["label"])] = sealer.unseal(sealed, bound)
    return keys
