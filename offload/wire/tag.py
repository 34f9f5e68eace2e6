"""What an item is: the tags of Keyless version 1 that we read or write, and three of ours."""

from enum import IntEnum


class Tag(IntEnum):
    """The first byte of an item. An item with any other tag is passed over.

    Later Keyless servers gave 0x14 and 0x15 meanings of their own (supplemental payload, trace
    span). Ours hold in a TLS_SIGN request only, an opcode that those servers do not know.
    """

    CERT_DIGEST = 0x01
    SERVER_NAME = 0x02
    CLIENT_ADDRESS = 0x03
    SKI = 0x04
    SERVER_ADDRESS = 0x05
    OPCODE = 0x11
    PAYLOAD = 0x12
    SIGNATURE_SCHEME = 0x14
    PROTOCOL_VERSION = 0x15
    CLIENT_RANDOM = 0x16
    PADDING = 0x20
