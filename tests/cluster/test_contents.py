"""Records by kind."""

from __future__ import annotations

from support.cluster import cluster_record, member_record

from offload.catalogue.records import HoldingRecord
from offload.cluster.contents import Contents

SKI = bytes(range(20))


def test_each_kind_has_its_place() -> None:
    contents = Contents()
    holding = HoldingRecord(member="a", ski=SKI.hex(), state="held")
    contents.put("cluster", cluster_record())
    contents.put("members/a", member_record("a"))
    contents.put(f"holdings/{SKI.hex()}/a", holding)
    contents.put("approvals/7", b"{}")
    assert contents.at(f"holdings/{SKI.hex()}/a") == holding
    assert contents.at("approvals/7") == b"{}"
    assert contents.at("keys/" + SKI.hex()) is None
    assert (
        vars(contents).items()
        >= {
            "cluster": cluster_record(),
            "members": {"a": member_record("a")},
            "holdings": {SKI: {"a": holding}},
            "others": {"approvals/": {"approvals/7": b"{}"}},
        }.items()
    )
    for path in ("cluster", "members/a", f"holdings/{SKI.hex()}/a", "approvals/7", "users/none"):
        contents.put(path, None)
        assert contents.at(path) is None
