"""What a frame asks for or answers: the opcodes of Keyless version 1, and one of ours."""

from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    """The published opcodes, including those that no worker of ours serves; TLS_SIGN is ours."""

    RSA_DECRYPT = 0x01
    RSA_SIGN_MD5SHA1 = 0x02
    RSA_SIGN_SHA1 = 0x03
    RSA_SIGN_SHA224 = 0x04
    RSA_SIGN_SHA256 = 0x05
    RSA_SIGN_SHA384 = 0x06
    RSA_SIGN_SHA512 = 0x07
    RSA_DECRYPT_RAW = 0x08
    ECDSA_SIGN_MD5SHA1 = 0x12
    ECDSA_SIGN_SHA1 = 0x13
    ECDSA_SIGN_SHA224 = 0x14
    ECDSA_SIGN_SHA256 = 0x15
    ECDSA_SIGN_SHA384 = 0x16
    ECDSA_SIGN_SHA512 = 0x17
    ED25519_SIGN = 0x18
    GET_CERTIFICATE = 0x20
    SEAL = 0x21
    UNSEAL = 0x22
    RPC = 0x23
    CUSTOM = 0x24
    RSA_PSS_SIGN_SHA256 = 0x35
    RSA_PSS_SIGN_SHA384 = 0x36
    RSA_PSS_SIGN_SHA512 = 0x37
    TLS_SIGN = 0x50
    RESPONSE = 0xF0
    PING = 0xF1
    PONG = 0xF2
    ERROR = 0xFF


PLAIN_SIGN: Final[frozenset[Opcode]] = frozenset(
    opcode for opcode in Opcode if "_SIGN_" in opcode.name or opcode is Opcode.ED25519_SIGN
)
DECRYPT: Final[frozenset[Opcode]] = frozenset({Opcode.RSA_DECRYPT, Opcode.RSA_DECRYPT_RAW})
ANSWERS: Final[frozenset[Opcode]] = frozenset({Opcode.RESPONSE, Opcode.PONG, Opcode.ERROR})
