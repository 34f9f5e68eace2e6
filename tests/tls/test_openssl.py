"""The library that pyOpenSSL wraps, and its queue of errors."""

from OpenSSL import SSL

from offload.provider import _native
from offload.tls.openssl import address, error_reasons, ffi, lib


def fail(names: bytes) -> None:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    assert lib.SSL_CTX_set_cipher_list(context._context, names) == 0


def test_address_is_that_of_the_pointer() -> None:
    assert address(ffi.cast("void *", 0x1234)) == 0x1234
    assert address(ffi.NULL) == 0


def test_error_queue_is_taken_whole() -> None:
    error_reasons()
    fail(b"no-such-cipher")
    assert error_reasons() == ("no cipher match",)
    assert error_reasons() == ()


def test_errors_stand_oldest_first() -> None:
    error_reasons()
    fail(b"no-such-cipher")
    lib.EVP_PKEY_free(lib.d2i_PUBKEY_bio(lib.BIO_new_mem_buf(b"x", 1), ffi.NULL))
    reasons = error_reasons()
    assert reasons[0] == "no cipher match"
    assert len(reasons) > 1


def test_engine_is_bound_to_the_library_of_pyopenssl() -> None:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    stream = _native.Stream(address(context._context), context, True)
    assert ffi.string(lib.SSL_get_version(ffi.cast("SSL *", stream.address))) == b"TLSv1.3"
