"""The OpenSSL provider: private keys that are elsewhere, and the way to have it loaded.

Nouns: a *key reference* (reference.py) names a key without holding it, and pyOpenSSL loads it as a
private key; the *environment* (environment.py) is what makes OpenSSL read a configuration that
loads the provider; the *sign hook* (hook.h) is whom the provider asks for a signature, set by
`_native.set_sign`; a `Stream` (stream.c) is one TLS connection on memory BIOs, each step one call;
the *native module* (`_native`) is the C part: provider, hook and streams in one file.

A public key goes into `key_reference`, its PEM into `OpenSSL.crypto.load_privatekey`, the PKey into
a context; when a handshake needs a signature, OpenSSL calls the provider and this calls the hook.

Importing this package loads no libcrypto, so that `ensure` can come first and cheaply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.provider.environment import ProviderUnavailable, check, ensure, environment

if TYPE_CHECKING:
    from offload.keys.algorithm import PublicKey

__all__ = ["ProviderUnavailable", "check", "ensure", "environment", "key_reference"]


def key_reference(public_key: PublicKey) -> bytes:
    """PEM of a key reference; see `offload.provider.reference.key_reference`."""
    from offload.provider import reference

    return reference.key_reference(public_key)
