"""What frames mean. All are named tuples: cheap to make, never changed.

Being tuples, two messages of different types can compare equal: tell them apart by type.
`id` matches an answer to its request: 0 to 2^32 - 1, chosen by who asks.
"""

from typing import NamedTuple


class TlsSign(NamedTuple):
    """Request: sign this server's part of a TLS handshake (our extension).

    ski: 20 bytes. scheme: a SignatureScheme codepoint. version: 0x0303 or 0x0304. payload: for
    TLS 1.3 the transcript hash alone; for TLS 1.2 both randoms and the ServerECDHParams. Version
    and payload are not judged here: that is the worker's policy. server_name: ASCII, "" if none.
    client_address: 4 or 16 bytes, b"" if not told. client_random: 32 bytes of a TLS 1.3
    ClientHello, b"" if not told: the payload for TLS 1.2 begins with it.
    """

    id: int
    ski: bytes
    scheme: int
    version: int
    payload: bytes
    server_name: str = ""
    client_address: bytes = b""
    client_random: bytes = b""


class PlainSign(NamedTuple):
    """Request: sign this digest (for ED25519_SIGN, this content), whatever it is the digest of.

    ski: 20 bytes; b"" from a client that names its key in another way.
    """

    id: int
    opcode: int
    ski: bytes
    payload: bytes
    server_name: str = ""
    client_address: bytes = b""


class Decrypt(NamedTuple):
    """Request: an RSA decryption, of which nothing but the asking is kept: always refused."""

    id: int
    opcode: int


class Ping(NamedTuple):
    """Request: send `data` back."""

    id: int
    data: bytes = b""


class Unknown(NamedTuple):
    """Request: something that this version does not know; to be answered with BAD_OPCODE."""

    id: int
    opcode: int


class Signature(NamedTuple):
    """Answer: the signature as TLS puts it on the wire; never empty."""

    id: int
    signature: bytes


class Pong(NamedTuple):
    """Answer: the data of a ping."""

    id: int
    data: bytes = b""


class Failure(NamedTuple):
    """Answer: not done. code: an ErrorCode, or a number of 0 to 255 that a peer made up."""

    id: int
    code: int


Request = TlsSign | PlainSign | Decrypt | Ping | Unknown
Answer = Signature | Pong | Failure
Message = Request | Answer
