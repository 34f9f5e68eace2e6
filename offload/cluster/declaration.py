"""A member's record follows its configuration: addresses, zone and capacity, at each start."""

from __future__ import annotations

from offload.catalogue import paths
from offload.catalogue.base import CatalogueUnavailable, Conflict
from offload.catalogue.records import MemberRecord
from offload.cluster.node import Node
from offload.cluster.rolling import behind
from offload.cluster.standing import Standing
from offload.config import Worker
from offload.observe.log import get_logger

_log = get_logger("cluster.declaration")


def configured(worker: Worker, member: MemberRecord) -> Standing:
    """What the configuration says; an address that it leaves open is as it was in the record."""
    cluster = worker.cluster
    if cluster is None:
        raise ValueError("no [worker.cluster] table: the worker is no member of a cluster")
    address = cluster.advertise or worker.listen
    api = cluster.advertise_api or cluster.api
    return Standing(
        zone=cluster.zone,
        capacity=cluster.capacity,
        address=str(address) if address.port else member.address,
        api=str(api) if api is not None and api.port else member.api,
    )


async def declare(node: Node, worker: Worker) -> None:
    """Let our record say what the configuration does; tries until it does.

    Its certificate stays: front-ends know the member by name. Raises CatalogueDenied.
    """
    while True:
        member = node.view.members.get(node.name)
        if member is None or member.state == "removed":
            return
        values = configured(worker, member).model_dump()
        if all(getattr(member, field) == value for field, value in values.items()):
            return
        try:
            await node.write({paths.MEMBERS + node.name: member.model_copy(update=values)})
        except (Conflict, CatalogueUnavailable):
            await behind(node.view)
        else:
            _log.info("the member's record is changed", **values)
