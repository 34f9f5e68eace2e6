"""The acts on keys, as the service does them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from support.key_cluster import KeyCluster, key_cluster

from offload.cluster import acts
from offload.cluster.failures import Invalid, Taken, Unavailable, WrongState


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KeyCluster]:
    async with key_cluster(tmp_path, 2, seconds=5.0) as cluster:
        yield cluster


def as_pem(public: Any) -> str:
    text: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


async def test_what_is_made_is_shown_and_listed_everywhere(cluster: KeyCluster) -> None:
    first, second = cluster.members
    made = await first.create("www", sites=("WWW.Example.org",), audit_signatures=True)
    assert (made.sites, made.audit_signatures) == (("www.example.org",), True)
    await second.until(lambda view: view.labels["www"].current == made.ski)
    shown = await second.do(acts.ShowKey(key="www"))
    assert (shown.ski, shown.state) == (made.ski, "active")
    found = await second.do(acts.ListKeys(site="www.example.org", label="w*"))
    assert [key.ski for key in found.keys] == [made.ski]
    with pytest.raises(Invalid, match="looks like a key's identifier"):
        await first.create("0" * 40)
    with pytest.raises(Invalid):
        await first.create("x", sites=("a..b",))


async def test_a_key_goes_out_enclosed_and_comes_in_enclosed(
    cluster: KeyCluster, tmp_path: Path
) -> None:
    first, second = cluster.members
    made = await first.create("www", exportable=True)
    async with key_cluster(tmp_path / "other", 1) as other:
        (stranger,) = other.members
        transport = as_pem(load_der_public_key(stranger.node.token.transport.rsa))
        out = await first.do(acts.ExportKey(key="www", recipient=transport))
        assert out.enclosed not in repr(out)
        act = acts.ImportKey(label="mine", public_key=out.public_key, enclosed=out.enclosed)
        taken = await stranger.do(act)
        assert (taken.ski, taken.state, taken.label) == (made.ski, "active", "mine")
        with pytest.raises(Taken, match="this very key"):
            await stranger.do(act.model_copy(update={"label": "again"}))
    await second.until(lambda view: "www" in view.labels)


async def test_only_what_may_leave_leaves(cluster: KeyCluster) -> None:
    first, second = cluster.members
    recipient = as_pem(rsa.generate_private_key(65537, 3072).public_key())
    small = as_pem(rsa.generate_private_key(65537, 2048).public_key())
    await first.create("fixed")
    with pytest.raises(WrongState, match="never to be exported"):
        await first.do(acts.ExportKey(key="fixed", recipient=recipient))
    with pytest.raises(WrongState, match="the cluster alone"):
        ski = first.view.cluster.authority_ski
        await first.do(acts.ExportKey(key=ski, recipient=recipient))
    made = await first.create("www", exportable=True)
    for bad in (small, "no key", first.view.cluster.authority):
        with pytest.raises(Invalid, match="recipient"):
            await first.do(acts.ExportKey(key="www", recipient=bad))
    await second.stop()
    await second.until(lambda view: made.ski in view.labels["www"].current)
    second.node.token.destroy(bytes.fromhex(made.ski))
    with pytest.raises(Unavailable, match="ask another worker"):
        await second.do(acts.ExportKey(key="www", recipient=recipient))
    await first.do(acts.DestroyKey(key="www", wait_seconds=0))
    await first.until(lambda view: not view.keys[bytes.fromhex(made.ski)].wrapped)
    with pytest.raises(WrongState, match="is destroyed"):
        await first.do(acts.ExportKey(key="www", recipient=recipient))


@pytest.mark.parametrize(
    ("public_key", "enclosed"), [("no key", ""), ("", "*"), ("", base64.b64encode(b"x").decode())]
)
async def test_what_is_no_key_is_not_taken_in(
    cluster: KeyCluster, public_key: str, enclosed: str
) -> None:
    act = acts.ImportKey(label="x", public_key=public_key, enclosed=enclosed)
    with pytest.raises(Invalid):
        await cluster.members[0].do(act)
    assert "x" not in cluster.members[0].view.labels
