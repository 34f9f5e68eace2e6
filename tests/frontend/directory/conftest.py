"""A cluster of two members, whose values the tests seal, and certificates of keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from support.catalogue_writer import certificate, member, sealed, signer
from support.pki import PKI, Issued

from offload.catalogue.envelope import Signer
from offload.catalogue.records import Record
from offload.frontend.directory.picture import Picture

NAMES = ("alpha", "beta")


@dataclass
class Members:
    """Members' identities, and the certificates of keys labelled "web"."""

    pki: PKI
    identities: dict[str, Issued]
    chains: list[bytes]
    signers: dict[str, Signer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signers = {name: signer(name, one.key_path) for name, one in self.identities.items()}

    def record(self, name: str, **changes: Any) -> Record:
        """A member's record."""
        return member(name, self.identities[name].certificate_path, **changes)

    def web(self, number: int = 0, generation: int = 1, **changes: Any) -> Record:
        """The certificate of label "web"."""
        return certificate("web", self.chains[number], generation, **changes)

    def sealed(self, *records: Record, by: str = "alpha") -> dict[str, bytes]:
        """Values by path."""
        return sealed(self.signers[by], *records)

    def all(self, *further: Record) -> dict[str, bytes]:
        """Both members, each signed by the other, and more."""
        return {
            **self.sealed(self.record("alpha"), by="beta"),
            **self.sealed(self.record("beta"), *further),
        }

    def picture(self) -> Picture:
        """An empty one that trusts the authority."""
        return Picture(self.pki.root)


@pytest.fixture(scope="session")
def members(pki: PKI) -> Members:
    identities = {name: pki.identity(name) for name in (*NAMES, "gamma")}
    return Members(pki, identities, [pki.site("site.test", number=n).chain_pem for n in range(3)])
