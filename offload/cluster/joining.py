"""The newcomer's side of an enrolment, before it belongs to anything: what it trusts, and why.

It trusts the authority of its invitation, which an officer handed over, and nothing else.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from offload.catalogue.envelope import Untrusted, Verifier
from offload.cluster.failures import Invalid
from offload.cluster.invitation import Invitation
from offload.cluster.views import EnrolmentView

ENROLMENTS_PATH = "/v1/enrolments"
"""Where a member takes applications (POST) and tells of them (GET, with the id below it)."""


def authorization(secret: str) -> str:
    """The Authorization header that lets us ask (RFC 6750)."""
    return f"Bearer {secret}"


def accepted(
    invitation: Invitation, answer: EnrolmentView, public: ec.EllipticCurvePublicKey
) -> bytes | None:
    """Our certificate (PEM), None while an officer has not decided.

    Raises Invalid for a certificate that is not for us, or not of that cluster.
    """
    if answer.state == "pending":
        return None
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        authority = x509.load_pem_x509_certificate(invitation.authority.encode())
        Verifier(authority).admit(invitation.member, certificate)
    except (ValueError, Untrusted):
        raise Invalid("the certificate that came is not of the cluster that invited us") from None
    if certificate.public_key() != public:
        raise Invalid("the certificate that came is for another key than ours")
    return answer.certificate.encode()
