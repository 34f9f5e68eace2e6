import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from offload.audit.fields import encoded
from offload.audit.record import MAX_LINE, NOTHING, BadRecord, Head, line, parse, timestamp

_TIME = "2026-11-24T01:02:03.000004Z"


def _line(fields: str = '{"a":1}', head: Head = NOTHING) -> bytes:
    return line(head, _TIME, "w1", "system", fields)[0]


def test_a_record_comes_back_as_it_was_written() -> None:
    content, head = line(Head(6, "ab" * 32), _TIME, "w1", "management", '{"act":"key.create"}')
    record = parse(content)
    assert record[:6] == (7, _TIME, "w1", "management", {"act": "key.create"}, "ab" * 32)
    assert record.head == head


def test_its_hash_can_be_computed_by_hand() -> None:
    body, _, _ = _line().partition(b',"hash"')
    assert json.loads(_line())["hash"] == hashlib.sha256(body).hexdigest()


def test_every_flipped_bit_is_found() -> None:
    content = _line()
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            with pytest.raises(BadRecord):
                parse(bytes(changed))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"seq":1',
        b'{"seq":"1","time":"","worker":"","kind":"","fields":{},"prev":""',
        b'{"seq":1,"time":"","worker":"","kind":"","fields":[],"prev":""',
        b'{"seq":true,"time":"","worker":"","kind":"","fields":{},"prev":""',
        b'{"seq":1,"time":"","worker":"","kind":"","fields":{},"prev":"","more":1',
    ],
)
def test_other_things_with_a_right_hash_are_no_records(body: bytes) -> None:
    digest = hashlib.sha256(body).hexdigest().encode()
    with pytest.raises(BadRecord):
        parse(body + b',"hash":"' + digest + b'"}\n')


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind"):
        line(NOTHING, _TIME, "w1", "gossip", "{}")


def test_times_are_utc_with_microseconds() -> None:
    eastern = datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2)))
    assert timestamp(eastern) == "2026-01-02T01:04:05.000006Z"
    assert timestamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"


def test_no_line_is_longer_than_the_limit() -> None:
    fields = encoded({f"f{number}": "\0" * 5000 for number in range(100)})
    assert len(_line(fields, Head(10**15, "0" * 64))) < MAX_LINE
