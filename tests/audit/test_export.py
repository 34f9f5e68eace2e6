import json
from collections.abc import Callable
from typing import Any

import pytest
from support.audit import Clock, exported
from support.cluster import authority, identity

from offload.audit.checkpoint import Evidence
from offload.audit.export import ExportHeader, parse_header, records
from offload.audit.log import AuditLog
from offload.catalogue.envelope import Untrusted


def _header(log: AuditLog, clock: Clock) -> ExportHeader:
    log.append("system", {})
    return parse_header(exported(log, clock, "w2").splitlines(keepends=True)[0])


def test_the_header_hands_over_its_evidence(log: AuditLog, clock: Clock) -> None:
    header = _header(log, clock)
    evidence = Evidence(authority().certificate)
    header.enter(evidence)
    assert [one.by for one in evidence.of("w1")] == ["w1", "w2"]
    assert parse_header(header.line()) == header


@pytest.mark.parametrize(
    "changes",
    [
        {"worker": "w2"},
        {"checkpoints": {}},
        {"certificates": {}},
        {"certificates": {"w1": "?"}},
        {"certificates": {"w1": identity("w2").certificate.decode()}},
    ],
)
def test_evidence_that_is_not_what_it_should_be_is_refused(
    log: AuditLog, clock: Clock, changes: dict[str, Any]
) -> None:
    header = _header(log, clock)._replace(**changes)
    with pytest.raises(Untrusted):
        header.enter(Evidence(authority().certificate))


@pytest.mark.parametrize(
    "changes",
    [
        {"offload_audit_export": 2},
        {"worker": 1},
        {"certificates": []},
        {"checkpoints": {"a": 1}},
        {"more": 1},
    ],
)
def test_a_header_of_another_form_is_refused(
    log: AuditLog, clock: Clock, changes: dict[str, Any]
) -> None:
    values = {**json.loads(_header(log, clock).line()), **changes}
    with pytest.raises(Untrusted):
        parse_header(json.dumps(values).encode() + b"\n")


def test_a_cut_header_is_refused(log: AuditLog, clock: Clock) -> None:
    line = _header(log, clock).line()
    for content in (line[:-1], line[:100], b"[]\n"):
        with pytest.raises(Untrusted):
            parse_header(content)


def test_records_come_in_parts_of_bounded_size(open_log: Callable[..., AuditLog]) -> None:
    log = open_log(segment_bytes=1000)
    for number in range(20):
        log.append("system", {"number": number})
    whole, left = records(log.directory, 1, 21, 1 << 20)
    assert (whole.count(b"\n"), left) == (21, 0)
    parts, first = b"", 1
    while first:
        part, first = records(log.directory, first, 21, 1000)
        assert 0 < len(part) <= 1000
        parts += part
    assert parts == whole
    assert records(log.directory, 5, 6, 1)[0].count(b"\n") == 1
    assert records(log.directory, 22, 21, 1000) == (b"", 0)
