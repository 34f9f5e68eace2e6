"""ServerECDHParams, the part of a TLS 1.2 ServerKeyExchange that is signed (RFC 8422 5.4)."""

_NAMED_CURVE = 3
_UNCOMPRESSED = 4

# IANA "TLS Supported Groups": the length of an encoded point in bytes.
_X25519 = 0x001D
_X448 = 0x001E
_POINT_LENGTHS = {0x0017: 65, 0x0018: 97, 0x0019: 133, _X25519: 32, _X448: 56}


def is_ecdh_params(params: bytes) -> bool:
    """Whether `params` are those of a known named group and nothing besides."""
    if len(params) < 4 or params[0] != _NAMED_CURVE:
        return False
    group = params[1] << 8 | params[2]
    length = _POINT_LENGTHS.get(group)
    if length is None or params[3] != length or len(params) != 4 + length:
        return False
    return group in (_X25519, _X448) or params[4] == _UNCOMPRESSED
