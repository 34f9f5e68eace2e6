"""The choice of an application protocol (ALPN, RFC 7301).

pyOpenSSL's own callback keeps an exception for each refused client until somebody asks for it; this
one keeps nothing.
"""

from collections.abc import Sequence
from typing import Any

from OpenSSL import SSL

from offload.tls.openssl import ffi, lib

_SSL_TLSEXT_ERR_OK = 0
_SSL_TLSEXT_ERR_ALERT_FATAL = 2


def position(preferred: Sequence[bytes], offered: bytes) -> tuple[int, int] | None:
    """Where in the client's list the server's first common protocol stands: (offset, length) of its
    name.

    offered: the extension's ProtocolNameList without its length, each name behind one byte of
    length.
    """
    places = {}
    offset = 0
    while offset < len(offered):
        length = offered[offset]
        places[offered[offset + 1 : offset + 1 + length]] = (offset + 1, length)
        offset += 1 + length
    return next((places[name] for name in preferred if name in places), None)


def set_protocols(context: SSL.Context, preferred: Sequence[str]) -> None:
    """Make `context` choose among `preferred`, the server's order first.

    A client that offers none of them gets the alert no_application_protocol (RFC 7301, 3.2), so
    that nobody can pass one protocol's server off as another's; one that offers nothing is served.
    """
    names = [name.encode("ascii") for name in preferred]

    def select(_ssl: Any, out: Any, out_length: Any, offered: Any, length: int, _arg: Any) -> int:
        place = position(names, ffi.buffer(offered, length)[:])
        if place is None:
            return _SSL_TLSEXT_ERR_ALERT_FATAL
        out[0] = ffi.cast("unsigned char *", offered + place[0])
        out_length[0] = place[1]
        return _SSL_TLSEXT_ERR_OK

    callback = ffi.callback(
        "int (*)(SSL *, unsigned char **, unsigned char *,"
        " const unsigned char *, unsigned int, void *)",
        select,
        error=_SSL_TLSEXT_ERR_ALERT_FATAL,
    )
    lib.SSL_CTX_set_alpn_select_cb(context._context, callback, ffi.NULL)
    context.set_app_data(callback)  # so that it lives for as long as the context
