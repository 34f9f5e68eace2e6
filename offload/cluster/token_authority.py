"""The cluster's CA, whose key is in the members' tokens like any other."""

from __future__ import annotations

from cryptography import x509

from offload.cluster.certification import BadSignature
from offload.cluster.failures import Unavailable
from offload.cluster.issuer import Issuer
from offload.cluster.node import Node
from offload.cluster.profile import CertificateProfile
from offload.cluster.request import RequestedKey
from offload.cluster.token_key import signing, token_key
from offload.token.base import KeyNotFound, TokenError


class TokenAuthority:
    """Issues the certificates of members, users and front-ends; each role is in the catalogue."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def certificate_pem(self) -> str:
        """The CA's own certificate."""
        return self._node.view.cluster.authority

    async def issue_member(
        self, name: str, hosts: tuple[str, ...], public: RequestedKey
    ) -> x509.Certificate:
        """A server's certificate: front-ends know the member by `name`, browsers by its hosts.

        Raises Unavailable, as `issue_client` does.
        """
        return await self._issue(public, (name, *hosts), CertificateProfile.SERVER)

    async def issue_client(self, name: str, public: RequestedKey) -> x509.Certificate:
        """The certificate of a user or a front-end, which one is in the catalogue alone."""
        return await self._issue(public, (name,), CertificateProfile.CLIENT)

    async def _issue(
        self, public: RequestedKey, names: tuple[str, ...], profile: CertificateProfile
    ) -> x509.Certificate:
        node = self._node
        cluster = node.view.cluster
        certificate = x509.load_pem_x509_certificate(cluster.authority.encode())
        sign = signing(node.token, bytes.fromhex(cluster.authority_ski))
        issuer = Issuer(certificate, token_key(certificate.public_key(), sign))
        try:
            return await node.in_thread(issuer.issue, public, names, profile, node.clock())
        except KeyNotFound:
            raise Unavailable(
                f"{node.name} does not hold the cluster's authority key yet: ask another worker"
            ) from None
        except (TokenError, BadSignature) as error:
            raise Unavailable(f"the token issued no certificate: {error}") from error
