"""The token interface and what can go wrong behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme


@dataclass(frozen=True, slots=True)
class TransportKeys:
    """Public keys of a token: `rsa` is a SubjectPublicKeyInfo (DER) of 3072 bits, `hpke` the raw
    X25519 key (32 bytes), None if the token has none.
    """

    rsa: bytes
    hpke: bytes | None = None


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


class NotExtractable(TokenError):
    """The key was made never to leave its token, not even wrapped."""


class ClusterKeyMissing(TokenError):
    """The token does not hold the cluster key of that generation."""


class WrappedKeyInvalid(TokenError):
    """What was to be unwrapped was altered, or is not the private half of the public key."""


class TokenUnavailable(TokenError):
    """The HSM or its library does not answer now; the same call may succeed later."""


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


class ReplicatedToken(Token, Protocol):
    """A token that takes part in a cluster: private keys enter and leave it wrapped, or not at all.

    `generation` numbers the cluster key, an AES-256 key that all members' tokens hold. Methods may
    be called from any thread and raise TokenUnavailable and TokenError besides what they name.
    """

    @property
    def kind(self) -> str:
        """ "software" or "pkcs11"."""

    @property
    def transport(self) -> TransportKeys:
        """The public keys that something can be enclosed to for this token."""

    def generate(self, label: str, algorithm: Algorithm, *, extractable: bool = True) -> KeyRecord:
        """Make a new key; raises LabelTaken, SchemeNotAllowed if the token makes no such keys."""

    def destroy(self, ski: bytes) -> None:
        """Erase the key for good; raises KeyNotFound.

        Other processes that opened the token sign with it until their next `reload`.
        """

    def wrap(self, ski: bytes, generation: int) -> bytes:
        """The PKCS #8 private key under the cluster key (RFC 5649, AES-KWP).

        Raises KeyNotFound, NotExtractable, ClusterKeyMissing.
        """

    def unwrap(self, label: str, public_key: bytes, wrapped: bytes, generation: int) -> KeyRecord:
        """Take in the private half of `public_key` (SPKI, DER), wrapped by `wrap` of some member.

        A key that is held already is left as it is. Raises WrappedKeyInvalid, ClusterKeyMissing,
        LabelTaken, SchemeNotAllowed if the token takes no such keys.
        """

    def export(self, ski: bytes, recipient: bytes) -> bytes:
        """The key enclosed to an RSA public key (SPKI, DER), as `import_enclosed` takes it.

        Raises KeyNotFound, NotExtractable.
        """

    def import_enclosed(self, label: str, public_key: bytes, enclosed: bytes) -> KeyRecord:
        """Take in a key enclosed to our RSA transport key: RSA-OAEP (SHA-1, MGF1 with SHA-1, no
        label) of a fresh AES-256 key, followed by the PKCS #8 key under that (RFC 5649).

        Raises WrappedKeyInvalid, LabelTaken, SchemeNotAllowed.
        """

    def cluster_keys(self) -> frozenset[int]:
        """The generations of the cluster key held."""

    def generate_cluster_key(self, generation: int) -> None:
        """Make the cluster key of a new generation; raises TokenError if there is one."""

    def enclose_cluster_key(self, generation: int, recipient: TransportKeys) -> bytes:
        """The cluster key for another token: by HPKE if both can, else by RSA-OAEP.

        Raises ClusterKeyMissing.
        """

    def accept_cluster_key(self, generation: int, enclosed: bytes) -> None:
        """Take in what `enclose_cluster_key` made for us; raises WrappedKeyInvalid."""

    def destroy_cluster_key(self, generation: int) -> None:
        """Erase that generation; raises ClusterKeyMissing."""
