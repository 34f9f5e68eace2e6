"""Files of which a part can be read and a part is sealed, neither of use without the other."""

import json
from collections.abc import Mapping
from typing import Any

from offload.token.sealing import Sealer, decode, encode


def seal_file(public: Mapping[str, Any], secret: bytes, sealer: Sealer) -> bytes:
    """The file's content: `public` as JSON, and `secret` sealed and bound to it."""
    sealed = sealer.seal(secret, _bound(public))
    return json.dumps({**public, "sealed": encode(sealed)}, indent=1).encode() + b"\n"


class SealedSecret:
    """The sealed part of a file, which it takes the readable part to open."""

    __slots__ = ("_bound", "_sealed", "_sealer")

    def __init__(self, sealed: bytes, bound: bytes, sealer: Sealer) -> None:
        self._sealed, self._bound, self._sealer = sealed, bound, sealer

    def reveal(self) -> bytes:
        """The secret; raises ValueError if any part of the file was altered."""
        return self._sealer.unseal(self._sealed, self._bound)


def open_file(content: bytes, sealer: Sealer) -> tuple[dict[str, Any], SealedSecret]:
    """The readable part and the secret of `seal_file`; nothing is unsealed yet.

    Raises ValueError, KeyError or TypeError if that is not what it is.
    """
    public: dict[str, Any] = json.loads(content)
    sealed = decode(public.pop("sealed"))
    return public, SealedSecret(sealed, _bound(public), sealer)


def _bound(public: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(public), sort_keys=True).encode()
