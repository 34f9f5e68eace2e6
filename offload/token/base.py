"""The token interface and what can go wrong behind it."""

from collections.abc import Sequence
from typing import Protocol

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme


class TokenError(Exception):
    """The token cannot do what was asked; the text names the remedy and never a secret."""


class TokenNotFound(TokenError):
    """There is no token at the place named."""


class TokenInsecure(TokenError):
    """The token's directory or a file of it is open to others or belongs to somebody else."""


class WrongPassphrase(TokenError):
    """The passphrase does not open the token."""


class LabelTaken(TokenError):
    """Another key of the token bears the label."""


class KeyNotFound(TokenError):
    """The token holds no key with that subject key identifier."""


class SchemeNotAllowed(TokenError):
    """The key cannot sign with that signature scheme."""


class Token(Protocol):
    """Holds private keys and signs with them; every method may be called from any thread."""

    @property
    def in_process(self) -> frozenset[Algorithm]:
        """Algorithms that this very processor signs with: a thread would only be in its way.

        For the others `sign` waits for something else (an HSM), and threads wait side by side.
        """

    def keys(self) -> Sequence[KeyRecord]:
        """The keys held, ordered by label."""

    def sign(self, ski: bytes, scheme: SignatureScheme, content: bytes) -> bytes:
        """Sign `content`, the whole to-be-signed, with the key `ski` (20 bytes); blocks meanwhile.

        The signature is as TLS carries it (ECDSA: DER, RFC 8446 4.2.3).
        Raises KeyNotFound, SchemeNotAllowed, TokenError.
        """

    def sign_digest(self, ski: bytes, scheme: SignatureScheme, digest: bytes) -> bytes:
        """Sign a digest made by the caller with the scheme's hash; blocks meanwhile.

        Raises KeyNotFound, SchemeNotAllowed (also for schemes that hash by themselves and for a
        digest of another length), TokenError.
        """

    def generate(self, label: str, algorithm: Algorithm) -> KeyRecord:
        """Make a new key; raises LabelTaken, TokenError."""

    def reload(self) -> bool:
        """Take in keys that other processes added or removed; says whether there were any."""

    def close(self) -> None:
        """Forget the keys; every later `sign` raises KeyNotFound."""
