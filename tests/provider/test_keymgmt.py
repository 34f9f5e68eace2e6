"""What a key that is elsewhere tells of itself, and what it keeps."""

import warnings

import pytest
from OpenSSL import SSL, crypto
from support.fresh_process import fresh_process
from support.memory_tls import Site
from support.pki import generate_key

from offload.provider import key_reference

ALGORITHMS = ("rsa-2048", "p-256", "p-384", "p-521", "ed25519", "ml-dsa-44", "ml-dsa-87")


# pyOpenSSL would rather have keys of cryptography's, which key references cannot be.
warnings.simplefilter("ignore", DeprecationWarning)


@fresh_process
def test_a_key_matches_its_certificate_and_no_other() -> None:
    for algorithm in ALGORITHMS:
        site = Site(algorithm)  # checks the key against the certificate
        reference = key_reference(generate_key(algorithm).public_key())
        other = crypto.load_privatekey(crypto.FILETYPE_PEM, reference)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(site.certificate)
        with pytest.raises(SSL.Error, match=r"key values mismatch|key type mismatch"):
            context.use_privatekey(other)


@fresh_process
def test_the_private_half_is_not_to_be_had() -> None:
    for algorithm in ALGORITHMS:
        pkey = Site(algorithm).pkey
        with pytest.raises((crypto.Error, ValueError, TypeError)):
            pkey.to_cryptography_key()
        with pytest.raises((crypto.Error, ValueError, TypeError)):
            crypto.dump_privatekey(crypto.FILETYPE_PEM, pkey)
