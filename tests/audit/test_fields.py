import json
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.audit.fields import MAX_FIELDS, MAX_TEXT, encoded

_TEXT = st.text(st.sampled_from('a"\\\n\r\0\x7f\x85\u2028\xe9\ud800\udfff\U0001f600'))
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=20,
)


class _Colour(Enum):
    RED = "red"


def _recorded(value: Any) -> Any:
    return json.loads(encoded({"value": value}))["value"]


@settings(max_examples=60)
@given(st.dictionaries(_TEXT, _VALUES))
def test_whatever_comes_is_one_line_of_plain_json(fields: dict[str, Any]) -> None:
    text = encoded(fields)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= MAX_FIELDS
    json.dumps(json.loads(text), allow_nan=False)


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 1.5, "text", "täxt\n\u2028", ["a", {"b": 1}], {"c": []}]
)
def test_plain_values_stay_as_they_are(value: Any) -> None:
    assert _recorded(value) == value


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        ("\ud800!", "\\ud800!"),
        (float("nan"), "nan"),
        (1 << 64, "0x10000000000000000"),
        (_Colour.RED, "red"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (b"secret", "<bytes>"),
        (("a", "b"), ["a", "b"]),
    ],
)
def test_what_json_has_no_form_for_is_named(value: Any, recorded: Any) -> None:
    assert _recorded(value) == recorded


def test_a_long_text_is_cut_and_says_so() -> None:
    recorded = _recorded("x" * (MAX_TEXT + 1))
    assert recorded.startswith("x" * MAX_TEXT + "... (4097 characters, sha256 ")


def test_depth_and_number_are_bounded() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert json.dumps(_recorded(deep)).count("[") < 10
    assert _recorded(list(range(1000)))[-1] == "... 744 more"
    assert _recorded({str(number): 1 for number in range(1000)})["..."] == "744 more"


def test_fields_too_large_together_keep_the_short_ones_and_a_digest() -> None:
    fields = {"act": "key.create", **{f"field{number}": "x" * 4000 for number in range(20)}}
    recorded = json.loads(encoded(fields))
    assert recorded["act"] == "key.create"
    assert recorded["oversized"] > MAX_FIELDS
    assert len(recorded["sha256"]) == 64
