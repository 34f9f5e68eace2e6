"""Certificates for etcd: its members' and one for its clients, by a CA of their own."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from offload.cli.demo.ports import LOOPBACK
from offload.cli.files import write_public, write_secret
from offload.cluster.authority import key_pem, pem
from offload.cluster.issuer import root
from offload.cluster.profile import dated, key_usage, subject

TRUST, MEMBER, CLIENT = "authority.pem", "member", "client"

_NAME = "offload demonstration of etcd"
_DAYS = 365


def write_identities(directory: Path, now: datetime) -> None:
    """authority.pem, and .pem and .key of MEMBER and CLIENT; the CA's key is forgotten here."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_public(directory / TRUST, pem(root(_NAME, key, now, _DAYS)))
    # Members are clients of each other too, and each one's gateway is a client of the member. The
    # gateway takes no client certificate with a common name: that would be a user's.
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    for name, uses in ((MEMBER, both), (CLIENT, both[1:])):
        own = ec.generate_private_key(ec.SECP256R1())
        builder = (
            dated(own.public_key(), now, _DAYS)
            .issuer_name(subject(_NAME))
            .subject_name(x509.Name([]))
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(key_usage(authority=False), critical=True)
            .add_extension(_loopback(), critical=True)
        )
        write_public(directory / f"{name}.pem", pem(builder.sign(key, hashes.SHA256())))
        write_secret(directory / f"{name}.key", key_pem(own))


def _loopback() -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ip_address(LOOPBACK))]
    )
