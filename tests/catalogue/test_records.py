"""Records become the JSON of an envelope and come back."""

import json

import pytest
from pydantic import ValidationError
from support.cluster import cluster_record, member_record

from offload.catalogue.records import ClusterRecord, FrontendRecord, MemberRecord


def test_a_record_comes_back_from_its_body() -> None:
    member, cluster = member_record("w1"), cluster_record(approvals={"key.destroy": 2})

    assert MemberRecord.model_validate_json(member.body()) == member
    assert ClusterRecord.model_validate_json(cluster.body()) == cluster


def test_unknown_fields_are_refused() -> None:
    body = json.dumps({"name": "f", "serving": {}, "more": 1})
    with pytest.raises(ValidationError):
        FrontendRecord.model_validate_json(body)
