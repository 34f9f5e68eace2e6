"""A key's file; what the token makes of many of them is tested in test_software.py."""

import json
from datetime import UTC, datetime

import pytest

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.token.base import TokenError
from offload.token.key_file import open_key, seal_key
from offload.token.private_key import PrivateKey
from offload.token.sealed_file import seal_file
from offload.token.sealing import Sealer

SEALER = Sealer(bytes(32))
KEY = PrivateKey.generate(Algorithm.P_256)
RECORD = KeyRecord(KEY.ski, "label", KEY.algorithm, KEY.public_key, datetime.now(UTC))


@pytest.mark.parametrize("extractable", [True, False])
def test_a_key_comes_back_as_it_was(extractable: bool) -> None:
    held = open_key(seal_key(RECORD, KEY, extractable, SEALER), SEALER, "place")
    assert (held.record, held.extractable) == (RECORD, extractable)
    assert held.encoded() == KEY.encode()
    assert held.private is held.private
    assert held.private.public_key == KEY.public_key


def test_a_key_of_before_there_were_clusters_may_leave() -> None:
    fields = json.loads(seal_key(RECORD, KEY, False, SEALER))
    public = {name: fields[name] for name in fields if name not in ("extractable", "sealed")}
    assert open_key(seal_file(public, KEY.encode(), SEALER), SEALER, "place").extractable


def test_what_keeps_a_key_in_cannot_be_edited() -> None:
    fields = json.loads(seal_key(RECORD, KEY, False, SEALER))
    with pytest.raises(TokenError, match="place is damaged"):
        open_key(json.dumps({**fields, "extractable": True}).encode(), SEALER, "place")


def test_a_key_that_openssl_cannot_read_is_told_when_it_is_used() -> None:
    fields = json.loads(seal_key(RECORD, KEY, True, SEALER))
    del fields["sealed"]
    held = open_key(seal_file(fields, b"no key", SEALER), SEALER, "place")
    with pytest.raises(TokenError, match="reads no p-256 keys"):
        _ = held.private
