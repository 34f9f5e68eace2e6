"""Requests signed in a token, and chains that front-ends get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from support.cluster import NOW
from support.key_cluster import KeyCluster, KeyMember, key_cluster

from offload.cluster import acts
from offload.cluster.authority import Authority, pem
from offload.cluster.creation import NewKey
from offload.cluster.failures import Invalid, Unavailable, WrongState
from offload.cluster.profile import CertificateProfile
from offload.cluster.rotation import Phase, RotationRecord
from offload.keys.algorithm import Algorithm

PUBLIC_CA = Authority.create("a public CA", NOW)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 2, seconds=5.0) as cluster:
        await cluster.members[0].create("www")
        yield cluster


@pytest.fixture
def member(cluster: KeyCluster) -> KeyMember:
    return cluster.members[0]


async def request(member: KeyMember, key: str = "www") -> x509.CertificateSigningRequest:
    made = await member.do(acts.RequestCertificate(key=key, names=("WWW.example.org", "192.0.2.1")))
    return x509.load_pem_x509_csr(made.request.encode())


async def chain_for(member: KeyMember, key: str = "www") -> str:
    public = (await request(member, key)).public_key()
    names = ["www.example.org"]
    return pem(PUBLIC_CA.issue(public, names, CertificateProfile.SERVER, NOW, 90)).decode()


async def test_a_request_is_signed_by_the_key(member: KeyMember) -> None:
    made = await request(member)
    assert made.is_signature_valid
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.org"]
    with pytest.raises(Invalid):
        await member.do(acts.RequestCertificate(key="www", names=("a..b",)))


async def test_a_request_needs_a_key_that_signs_and_is_here(cluster: KeyCluster) -> None:
    first, second = cluster.members
    await first.create("local", replicated=False)
    await second.until(lambda view: "local" in view.labels)
    with pytest.raises(Unavailable, match="worker-2 does not hold local@1: ask another"):
        await request(second, "local")
    await first.do(acts.SuspendKey(key="www"))
    with pytest.raises(WrongState, match="www@1 is suspended"):
        await request(first)


async def test_a_chain_is_installed_for_the_current_generation(member: KeyMember) -> None:
    first, second = await chain_for(member), await chain_for(member)
    for chain in (first, second):
        assert (await member.do(acts.InstallCertificate(key="www", chain=chain))).done
        record = member.view.certificates["www"]
        assert (record.ski, record.generation, record.chain) == (
            member.view.labels["www"].current,
            1,
            chain,
        )
    await member.create("other")
    with pytest.raises(Invalid, match="not for this key"):
        await member.do(acts.InstallCertificate(key="other", chain=first))
    await member.do(acts.SuspendKey(key="www"))
    with pytest.raises(WrongState, match="could not serve"):
        await member.do(acts.InstallCertificate(key="www", chain=first))


async def test_a_rotation_gets_the_chain_it_waits_for(member: KeyMember) -> None:
    key = await member.service.creation.generate(NewKey(label="www", beside=True), Algorithm.P_256)
    chain = await chain_for(member, "www@2")
    with pytest.raises(WrongState, match="nor one that a rotation switches to"):
        await member.do(acts.InstallCertificate(key="www@2", chain=chain))
    rotation = RotationRecord(
        label="www",
        old_ski=member.view.labels["www"].current,
        new_ski=key.ski.hex(),
        phase=Phase.CERTIFYING,
        issue="request",
        names=("www.example.org",),
        drain_seconds=1.0,
        asked_by="kate",
        began=NOW,
        changed=NOW,
    )
    await member.node.write({"rotations/www": rotation})
    await member.do(acts.InstallCertificate(key="www@2", chain=chain))
    body = member.view.at("rotations/www")
    assert isinstance(body, bytes)
    assert RotationRecord.model_validate_json(body).chain == chain
    assert "www" not in member.view.certificates
