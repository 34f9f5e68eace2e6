"""The libssl that pyOpenSSL wraps, for the few functions that pyOpenSSL does not offer.

`lib` and `ffi` are the cffi module of cryptography's wheel: the very library that pyOpenSSL calls.
"""

from typing import Any

from cryptography.hazmat.bindings._rust import _openssl

from offload.provider import _native

lib: Any = _openssl.lib
ffi: Any = _openssl.ffi


def address(cdata: Any) -> int:
    """The address that a cffi pointer holds."""
    return int(ffi.cast("uintptr_t", cdata))


def error_reasons() -> tuple[str, ...]:
    """Take OpenSSL's error queue of this thread, oldest first, as the library words it."""
    reasons = []
    while code := lib.ERR_get_error():
        text = lib.ERR_reason_error_string(code)
        reasons.append(ffi.string(text).decode() if text != ffi.NULL else f"error {code:#x}")
    return tuple(reasons)


_native.bind({name: address(ffi.addressof(lib, name)) for name in _native.FUNCTIONS})
