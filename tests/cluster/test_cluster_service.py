"""The cluster's record and its policy."""

from collections.abc import AsyncIterator

import pytest
from support.pki import PKI
from support.rest import Rest, managed

from offload.cluster.acts import SetPolicy, ShowCluster
from offload.cluster.failures import ApprovalNeeded, Invalid
from offload.cluster.views import ClusterView


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        yield made


async def test_the_cluster_is_shown(rest: Rest) -> None:
    view = await rest.management.perform(rest.actor("ada"), ShowCluster())
    assert isinstance(view, ClusterView)
    assert (view.name, view.members, view.keys, view.copies) == ("test", 1, 0, 2)
    assert "BEGIN CERTIFICATE" in view.authority


async def test_what_a_policy_leaves_out_stays(rest: Rest) -> None:
    olga = rest.actor("olga")
    await rest.management.perform(olga, SetPolicy(approvals={"key.destroy": 2}))
    view = await rest.management.perform(olga, SetPolicy(copies=3))
    assert isinstance(view, ClusterView)
    assert (view.copies, view.approvals) == (3, {"key.destroy": 2})
    assert view.destroy_wait_seconds == 7 * 86400
    assert rest.node.view.cluster.version == 3


async def test_a_policy_that_could_not_be_met_is_refused(rest: Rest) -> None:
    with pytest.raises(Invalid, match="there are 2"):
        await rest.management.perform(rest.actor("olga"), SetPolicy(approvals={"key.export": 3}))


async def test_one_officer_alone_cannot_end_approvals(rest: Rest) -> None:
    olga = rest.actor("olga")
    await rest.management.perform(olga, SetPolicy(approvals={"key.destroy": 2}))
    with pytest.raises(ApprovalNeeded) as caught:
        await rest.management.perform(olga, SetPolicy(approvals={}))
    for officer in ("olga", "otto"):
        await rest.sign(officer, caught.value.approval)
    end = SetPolicy(approvals={})
    await rest.management.perform(olga, end, approval=caught.value.approval)
    assert rest.node.view.cluster.approvals == {}
