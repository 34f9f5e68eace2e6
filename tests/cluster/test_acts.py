"""Acts as data: one form for equal acts, and no secret in what is shown of them."""

import json
from hashlib import sha256

import pytest
from pydantic import ValidationError

from offload.cluster.acts import CreateKey, ImportKey, RemoveUser, ShowApproval, ShowKey


def test_equal_acts_have_one_canonical_form() -> None:
    one = CreateKey.model_validate_json('{"label": "www", "sites": ["a.example"]}')
    other = CreateKey(sites=("a.example",), label="www")
    assert one.canonical() == other.canonical()
    assert json.loads(one.canonical())["act"] == "key.create"
    assert one.digest() == sha256(one.canonical()).hexdigest()


def test_another_act_on_the_same_has_another_digest() -> None:
    assert ShowKey(key="www").digest() != ShowKey(key="www@1").digest()


def test_what_is_enclosed_is_not_shown() -> None:
    act = ImportKey(label="www", public_key="PEM", enclosed="hush")
    assert "hush" not in repr(act)


def test_the_target_is_what_the_act_is_done_to() -> None:
    assert ShowKey(key="www@2").target == "www@2"
    assert CreateKey(label="www").target == "www"
    assert RemoveUser(user="olga").target == "olga"


@pytest.mark.parametrize("key", ["", "../x", "a/b", "www@0", "www@", "www@x", "a\n"])
def test_a_key_is_named_by_label_generation_or_identifier(key: str) -> None:
    with pytest.raises(ValidationError):
        ShowKey(key=key)


def test_an_approval_has_an_identifier_of_32_digits() -> None:
    with pytest.raises(ValidationError):
        ShowApproval(approval="../users/olga")


def test_dates_have_a_time_zone() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        CreateKey.model_validate_json('{"label": "www", "activates": "2026-01-01T00:00:00"}')
