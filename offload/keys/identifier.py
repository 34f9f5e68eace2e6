"""A key's name on the wire and in the catalogue: its subject key identifier."""

from cryptography.x509 import SubjectKeyIdentifier

from offload.keys.algorithm import PublicKey


def subject_key_identifier(public_key: PublicKey) -> bytes:
    """20 bytes: SHA-1 of the subjectPublicKey BIT STRING's content (RFC 5280 4.2.1.2 (1)).

    SHA-1 only names the key here: nothing rests on its resistance to collisions, for a worker
    signs with the keys its token holds and the front-end checks against its certificate.
    """
    return SubjectKeyIdentifier.from_public_key(public_key).digest
