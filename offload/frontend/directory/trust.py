"""Whom a front-end takes the cluster's word from."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509


def read_authority(trust: Path) -> x509.Certificate:
    """The cluster's CA: the first certificate of the pool's trust file.

    Raises OSError, ValueError.
    """
    return x509.load_pem_x509_certificates(trust.read_bytes())[0]
