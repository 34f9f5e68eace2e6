"""The authority that issues certificates for the demonstration's website, as a public one would."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509

from offload.cli.files import write_public
from offload.cluster.authority import Authority, pem
from offload.cluster.profile import CertificateProfile

NAMES = ("localhost", "127.0.0.1")
_DAYS = 30


class ExampleAuthority:
    """Its certificate is in a directory that is made here; its key is in memory alone."""

    def __init__(self, directory: Path, now: datetime) -> None:
        self._authority, self._now = Authority.create("offload example authority", now, _DAYS), now
        directory.mkdir(mode=0o755)
        self.path = directory / "authority.pem"
        write_public(self.path, self._authority.certificate_pem())

    def certify(self, request: str) -> str:
        """The certificate (PEM) for a certification request (PEM), for NAMES."""
        public = x509.load_pem_x509_csr(request.encode()).public_key()
        issued = self._authority.issue(public, NAMES, CertificateProfile.SERVER, self._now, _DAYS)
        return pem(issued).decode()
