import dataclasses
from datetime import UTC, datetime

import pytest

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord


def test_a_record_is_a_value() -> None:
    created = datetime(2026, 1, 2, tzinfo=UTC)
    record = KeyRecord(bytes(20), "www", Algorithm.P_256, b"der", created)
    assert record == KeyRecord(bytes(20), "www", Algorithm.P_256, b"der", created)
    assert {record: 1}[record] == 1
    for field in dataclasses.fields(record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field.name, None)
