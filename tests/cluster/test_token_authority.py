from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.members import Members, members_in

from offload.cluster.failures import Unavailable
from offload.cluster.token_authority import TokenAuthority

PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


def uses(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


async def test_members_are_servers_and_everybody_else_is_a_client(members: Members) -> None:
    authority = TokenAuthority(members.nodes["worker-1"])
    root = x509.load_pem_x509_certificate(authority.certificate_pem.encode())
    member = await authority.issue_member("worker-2", ("10.0.0.2",), PUBLIC)
    client = await authority.issue_client("alice", PUBLIC)
    for certificate in (member, client):
        certificate.verify_directly_issued_by(root)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert not constraints.value.ca
    assert uses(member) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert uses(client) == [ExtendedKeyUsageOID.CLIENT_AUTH]


async def test_a_token_without_the_key_issues_nothing(members: Members) -> None:
    node = members.nodes["worker-1"]
    node.token.destroy(bytes.fromhex(node.view.cluster.authority_ski))
    with pytest.raises(Unavailable, match="ask another worker"):
        await TokenAuthority(node).issue_client("alice", PUBLIC)
