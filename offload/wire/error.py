"""What goes wrong: on the wire between the peers (`ErrorCode`), and with it (`ProtocolError`)."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Why a worker did not do what was asked: the one byte of an ERROR frame's payload."""

    CRYPTO = 0x01
    KEY_NOT_FOUND = 0x02
    READ = 0x03
    VERSION_MISMATCH = 0x04
    BAD_OPCODE = 0x05
    UNEXPECTED_OPCODE = 0x06
    FORMAT = 0x07
    INTERNAL = 0x08
    CERT_NOT_FOUND = 0x09
    EXPIRED = 0x0A
    REMOTE_CONFIGURATION = 0x0B


class ProtocolError(Exception):
    """The peer sent what is no frame of the protocol: the link cannot be read on; close it.

    The text never has the frame's content in it, only tags, opcodes and lengths.
    """
