"""What everyone may know of a key."""

from dataclasses import dataclass
from datetime import datetime

from offload.keys.algorithm import Algorithm


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key without its secret.

    ski: subject key identifier, 20 bytes. label: the owner's name for it. public_key:
    SubjectPublicKeyInfo in DER (RFC 5280 4.1.2.7). created: in UTC.
    """

    ski: bytes
    label: str
    algorithm: Algorithm
    public_key: bytes
    created: datetime
