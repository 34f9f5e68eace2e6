import pytest

from offload.audit.sink import AuditSink, AuditUnavailable, FakeAuditSink


def test_the_fake_keeps_records_until_it_is_broken() -> None:
    fake = FakeAuditSink()
    sink: AuditSink = fake
    sink.check()
    sink.append("management", {"act": "a"}, {"act": "b"})
    assert fake.records == [
        {"kind": "management", "act": "a"},
        {"kind": "management", "act": "b"},
    ]
    fake.broken = True
    with pytest.raises(AuditUnavailable):
        sink.check()
    with pytest.raises(AuditUnavailable, match="see that its disk has room"):
        sink.append("management", {"act": "c"})
    assert len(fake.records) == 2
