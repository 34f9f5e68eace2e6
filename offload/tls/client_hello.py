"""Reads the server name out of a ClientHello before any TLS library does.

Sans-IO and bounded: bytes in, a `ClientHello`, None (more bytes are needed) or an error out.
Nothing is validated that OpenSSL validates afterwards; a hello that this reader accepts can still
be refused there.
"""

from dataclasses import dataclass
from struct import Struct, error, unpack_from

MAX_CLIENT_HELLO = 65536
"""Bytes of records that a ClientHello may take. OpenSSL's own limit is twice as much; real ones
with post-quantum key shares take 2 KiB.
"""

_HANDSHAKE_RECORD = 22
_FIRST_BYTES = b"\x16\x03"  # a handshake record; the major version has been 3 since SSL 3.0
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_MAX_FRAGMENT = 16384
_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_MAX_NAME = 255
_extension_header = Struct(">HH").unpack_from


class NotTLS(Exception):
    """The first bytes are not a TLS handshake record."""


class MalformedClientHello(Exception):
    """A TLS record, but not a ClientHello that can be read within the limits."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the choice of a site needs to know.

    server_name: the DNS name asked for in lower case, None where the client named none (RFC 6066,
    3). random: the client's 32 bytes, the same in a second hello (RFC 8446, 4.1.2).
    """

    server_name: str | None
    random: bytes


def read_client_hello(data: bytes) -> ClientHello | None:
    """Read the ClientHello at the start of `data`, the first bytes of a connection.

    Returns None when more bytes are needed: a `ClientHelloReader` takes them as they come. Raises
    NotTLS, MalformedClientHello.
    """
    if data[:2] != _FIRST_BYTES[: len(data)]:
        raise NotTLS("the connection does not start with a TLS handshake record")
    if len(data) < _RECORD_HEADER + _MESSAGE_HEADER:
        return None
    length = int.from_bytes(data[3:5])
    if _MESSAGE_HEADER <= length <= _MAX_FRAGMENT:
        end = _message_end(data[5:9])
        if end <= length:  # the usual: all in one record
            end += _RECORD_HEADER
            if len(data) < end:
                return None
            return _parsed(data[_RECORD_HEADER + _MESSAGE_HEADER : end])
    return ClientHelloReader().feed(data)


class ClientHelloReader:
    """Reads a ClientHello that comes in pieces: each byte is looked at once, however many they are.

    data: all that was fed, for the library that reads it next.
    """

    __slots__ = ("_end", "_message", "_offset", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._message = bytearray()
        self._offset = 0
        self._end = _MESSAGE_HEADER

    def feed(self, data: bytes) -> ClientHello | None:
        """Take the next bytes. Returns and raises as `read_client_hello` does."""
        self.data += data
        if self.data[:2] != _FIRST_BYTES[: len(self.data)]:
            raise NotTLS("the connection does not start with a TLS handshake record")
        while len(self._message) < self._end:
            if not self._take_record():
                if len(self.data) >= MAX_CLIENT_HELLO:
                    raise MalformedClientHello(
                        f"the ClientHello takes more than {MAX_CLIENT_HELLO} bytes"
                    )
                return None
        return _parsed(bytes(self._message[_MESSAGE_HEADER : self._end]))

    def _take_record(self) -> bool:
        """Add the next record to the message; False where it has not come yet."""
        if len(self.data) - self._offset < _RECORD_HEADER:
            return False
        kind, major, _, length = unpack_from(">BBBH", self.data, self._offset)
        if kind != _HANDSHAKE_RECORD or major != 3 or not 0 < length <= _MAX_FRAGMENT:
            raise MalformedClientHello("a record of the ClientHello is malformed")
        start = self._offset + _RECORD_HEADER
        if len(self.data) < start + length:
            return False
        self._message += self.data[start : start + length]
        self._offset = start + length
        if self._end == _MESSAGE_HEADER <= len(self._message):
            self._end = _message_end(bytes(self._message[:_MESSAGE_HEADER]))
        return True


def _parsed(body: bytes) -> ClientHello:
    try:
        return ClientHello(_server_name(body), body[2:34])
    except (IndexError, ValueError, error) as cause:
        raise MalformedClientHello("the ClientHello is cut short or inconsistent") from cause


def _message_end(header: bytes) -> int:
    """The length of the handshake message with this header, and the header's own."""
    if header[0] != _CLIENT_HELLO:
        raise MalformedClientHello("the first message is not a ClientHello")
    length = int.from_bytes(header[1:])
    if length > MAX_CLIENT_HELLO:
        raise MalformedClientHello(f"the ClientHello is longer than {MAX_CLIENT_HELLO} bytes")
    return _MESSAGE_HEADER + length


def _server_name(body: bytes) -> str | None:
    """The name in the server_name extension (RFC 8446, 4.1.2; RFC 6066, 3). IndexError if cut."""
    end = len(body)
    offset = 34  # legacy_version, random
    offset += 1 + body[offset]  # legacy_session_id
    offset += 2 + (body[offset] << 8 | body[offset + 1])  # cipher_suites
    offset += 1 + body[offset]  # legacy_compression_methods
    if offset == end:
        return None  # TLS 1.2 allows a hello with no extensions
    offset += 2
    while offset < end:
        kind, length = _extension_header(body, offset)
        offset += 4
        if kind == _SERVER_NAME:
            if offset + length > end:
                raise IndexError
            return _host_name(body[offset : offset + length])
        offset += length
    if offset != end:
        raise IndexError
    return None


def _host_name(extension: bytes) -> str:
    """The one entry of a ServerNameList: RFC 6066 allows one name of a type, and has one type."""
    length = int.from_bytes(extension[3:5])
    name = extension[5:]
    if len(extension) < 6 or extension[2] != 0 or len(name) != length or length > _MAX_NAME:
        raise ValueError
    if int.from_bytes(extension[:2]) != length + 3 or b"\0" in name:
        raise ValueError
    return name.decode("ascii").lower()
