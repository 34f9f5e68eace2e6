from datetime import UTC, datetime
from typing import Any

import pytest
from support.cluster import authority, identity, signer

from offload.audit.checkpoint import (
    Checkpoint,
    Evidence,
    contradiction,
    fields,
    newest,
    sealed,
    statement,
)
from offload.audit.record import AuditRecord, Head
from offload.catalogue.envelope import Untrusted
from offload.cluster.authority import Authority, pem

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HEAD = Head(7, "ab" * 32)


@pytest.fixture
def evidence() -> Evidence:
    evidence = Evidence(authority().certificate)
    for name in ("w1", "w2"):
        evidence.admit(name, identity(name).certificate.decode())
    return evidence


def _record(values: dict[str, Any], kind: str = "system", worker: str = "w1") -> AuditRecord:
    return AuditRecord(8, "", worker, kind, values, "", "")


def test_a_checkpoint_is_known_by_its_signer(evidence: Evidence) -> None:
    own = evidence.add(*sealed(signer("w1"), statement("w1", HEAD, NOW)))
    assert own == Checkpoint("w1", HEAD, NOW, "w1")
    path = "checkpoints/w1/w2"
    later = statement("w1", Head(9, "cd" * 32), NOW)
    other = evidence.add(path, signer("w2").seal(path, later.body()))
    assert evidence.of("w1") == (own, other)
    assert evidence.of("w2") == ()
    assert newest(evidence.of("w1")) == {"w1": own, "w2": other}


@pytest.mark.parametrize(
    ("path", "by", "worker", "text"),
    [
        ("checkpoints/w1", "w3", "w1", "no member"),
        ("checkpoints/w2", "w1", "w1", "holds the checkpoint of"),
        ("checkpoints/w2/w1", "w1", "w1", "holds the checkpoint of"),
    ],
)
def test_others_and_elsewhere_are_refused(
    evidence: Evidence, path: str, by: str, worker: str, text: str
) -> None:
    value = signer(by).seal(path, statement(worker, HEAD, NOW).body())
    with pytest.raises(Untrusted, match=text):
        evidence.add(path, value)
    assert evidence.of(worker) == ()


def test_a_checkpoint_that_was_moved_or_changed_is_refused(evidence: Evidence) -> None:
    path, envelope = sealed(signer("w1"), statement("w1", HEAD, NOW))
    with pytest.raises(Untrusted, match="as it stands"):
        evidence.add(path + "/w2", envelope)
    with pytest.raises(Untrusted, match="as it stands"):
        evidence.add(path, envelope.replace(b'seq\\":7', b'seq\\":8'))
    with pytest.raises(Untrusted, match="no checkpoint"):
        evidence.add(path, signer("w1").seal(path, b"{}"))


def test_a_certificate_of_another_authority_is_refused(evidence: Evidence) -> None:
    other = Authority.create("other", NOW).issue_worker("w3", NOW)
    with pytest.raises(Untrusted, match="no certificate of this cluster"):
        evidence.admit("w3", other.certificate.decode())
    with pytest.raises(Untrusted, match="cannot be read"):
        evidence.admit("w3", "no certificate")
    with pytest.raises(Untrusted, match="not that of a worker"):
        evidence.admit("w3", identity("w1").certificate.decode())
    with pytest.raises(Untrusted, match="not that of a worker"):
        frontend = authority().issue_frontend("w3", NOW).certificate
        evidence.admit("w3", frontend.decode())


def test_a_record_that_holds_one_is_verified_with_the_authority_alone() -> None:
    evidence = Evidence(authority().certificate)
    made = fields(signer("w1"), statement("w1", HEAD, NOW), identity("w1").certificate.decode())
    assert evidence.recorded(_record(made)) == Checkpoint("w1", HEAD, NOW, "w1")
    assert evidence.recorded(_record(made, kind="management")) is None
    assert evidence.recorded(_record({"event": "other"})) is None
    for wrong in (
        {**made, "envelope": made["envelope"].replace('seq\\":7', 'seq\\":8')},
        {**made, "certificate": pem(authority().certificate).decode()},
        {**made, "certificate": identity("w2").certificate.decode()},
        {"event": "checkpoint"},
    ):
        with pytest.raises(Untrusted):
            evidence.recorded(_record(wrong))


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (Head(8, "cd" * 32), ""),
        (HEAD, ""),
        (Head(7, "cd" * 32), "not the one that it was"),
        (Head(6, "cd" * 32), "ends at record 6, but had 7"),
    ],
)
def test_a_chain_never_goes_back(later: Head, text: str) -> None:
    found = contradiction(statement("w1", HEAD, NOW), statement("w1", later, NOW))
    assert text in found
    assert bool(text) == bool(found)
