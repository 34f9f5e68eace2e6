"""The C part: quick calls into libssl, and the hook that OpenSSL's provider calls."""

from collections.abc import Callable, Mapping
from typing import Final

from typing_extensions import Buffer

WANT_READ: Final = 0
DONE: Final = 1
CLOSED: Final = 2
FAILED: Final = 3

FUNCTIONS: Final[tuple[str, ...]]

class Stream:
    """One TLS connection on memory BIOs, of the SSL_CTX at `address`, which `context` owns."""

    def __init__(self, address: int, context: object, server: bool, /) -> None: ...
    @property
    def address(self) -> int:
        """The address of the SSL, for functions that are not here."""

    def facts(self) -> tuple[str, str, str, bool, str]:
        """What the handshake agreed on: version, cipher, group, resumed, application protocol."""

    def handshake(self, data: Buffer, /) -> tuple[int, bytes]:
        """Go on with the handshake: (status, bytes to send). Raises what the signer raised."""

    def receive(self, data: Buffer, /) -> tuple[int, bytes, bytes]:
        """Decrypt: (status, plaintext, bytes to send)."""

    def send(self, plaintext: Buffer, /) -> bytes | bytearray:
        """Encrypt: bytes to send. Raises ConnectionError."""

    def shutdown(self) -> bytes:
        """Say close_notify: bytes to send."""

def bind(addresses: Mapping[str, int], /) -> None:
    """Hand over the addresses of libssl's functions, by name."""

def set_sign(signer: Callable[[bytes, str, int, bytes], bytes], /) -> None:
    """Have every signature made by signer(key_id, digest, padding, to_be_signed)."""
