"""A key's record, there and back, and what is no record of a key."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.keys.algorithm import Algorithm
from offload.keys.managed import KeyPolicy, ManagedKey, Purpose
from offload.keys.state import State

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
KEY = ManagedKey(
    ski=bytes(range(20)),
    label="www",
    generation=1,
    algorithm=Algorithm.P_256,
    public_key=b"spki",
    state=State.ACTIVE,
    created=NOW,
    changed=NOW,
    home="worker-1",
    wrapped=b"wrapped",
    wrapped_under=1,
)

times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001 - made aware here
    lambda time: time.replace(tzinfo=UTC)
)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
texts = st.lists(st.text(min_size=1, max_size=20), max_size=3).map(tuple)


@st.composite
def keys(draw: st.DrawFn) -> ManagedKey:
    state = draw(st.sampled_from(State))
    replicated = draw(st.booleans())
    wrapped = replicated and state is not State.DESTROYED
    may_wait = state is not State.ACTIVE
    purpose = draw(st.sampled_from(Purpose))
    return ManagedKey(
        ski=draw(st.binary(min_size=20, max_size=20)),
        label=draw(names),
        generation=draw(st.integers(1, 1000)),
        algorithm=draw(st.sampled_from(Algorithm)),
        public_key=draw(st.binary(min_size=1)),
        state=state,
        created=draw(times),
        changed=draw(times),
        home=draw(names),
        purpose=purpose,
        policy=KeyPolicy(
            sites=draw(texts), frontends=draw(texts), audit_signatures=draw(st.booleans())
        ),
        exportable=draw(st.booleans()) and purpose is Purpose.TLS,
        replicated=replicated,
        activates=draw(st.none() | times),
        deactivates=draw(st.none() | times),
        destroy_at=draw(st.none() | times) if may_wait else None,
        wrapped=draw(st.binary(min_size=1)) if wrapped else b"",
        wrapped_under=draw(st.integers(1, 100)) if wrapped else 0,
        version=draw(st.integers(1, 10**9)),
    )


@given(keys())
def test_a_record_comes_back_as_it_went(key: ManagedKey) -> None:
    assert ManagedKey.from_json(json.loads(key.body())) == key


def test_only_active_keys_for_handshakes_sign() -> None:
    assert KEY.signs
    assert not replace(KEY, purpose=Purpose.AUTHORITY).signs
    assert not any(replace(KEY, state=state).signs for state in State if state != State.ACTIVE)


def test_a_secret_stays_out_of_its_repr() -> None:
    assert "wrapped=" not in repr(KEY)
    assert KEY.record.label == "www"


@pytest.mark.parametrize(
    "change",
    [
        {"ski": "00"},
        {"ski": "zz" * 20},
        {"ski": 7},
        {"label": ""},
        {"label": "a/b"},
        {"label": "www\n"},
        {"label": None},
        {"home": "../x"},
        {"generation": 0},
        {"generation": True},
        {"generation": 1.0},
        {"algorithm": "rsa-1024"},
        {"public_key": ""},
        {"public_key": "*"},
        {"state": "alive"},
        {"created": "yesterday"},
        {"created": "2026-01-01T00:00:00"},
        {"created": "2026-01-01T00:00:00+01:00"},
        {"created": None},
        {"purpose": "mail"},
        {"sites": "www"},
        {"sites": [1]},
        {"frontends": [""]},
        {"audit_signatures": 1},
        {"exportable": "yes"},
        {"replicated": None},
        {"replicated": False},
        {"activates": 0},
        {"activates": "2026-01-01T00:00:00"},
        {"destroy_at": NOW.isoformat()},
        {"wrapped": ""},
        {"wrapped_under": 0},
        {"wrapped_under": -1},
        {"state": "destroyed"},
        {"purpose": "authority", "exportable": True},
        {"version": 0},
        {"version": "1"},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_is_odd_is_refused(change: dict[str, Any]) -> None:
    assert ManagedKey.from_json(KEY.to_json()) == KEY
    with pytest.raises(ValueError):
        ManagedKey.from_json({**KEY.to_json(), **change})


@pytest.mark.parametrize("name", list(KEY.to_json()))
def test_no_field_may_be_missing(name: str) -> None:
    values = KEY.to_json()
    del values[name]
    with pytest.raises(ValueError, match="missing"):
        ManagedKey.from_json(values)


@pytest.mark.parametrize("odd", [None, [], "", 1, {}])
def test_what_is_no_record_at_all_is_refused(odd: object) -> None:
    with pytest.raises(ValueError):
        ManagedKey.from_json(odd)


def test_times_are_utc_to_the_microsecond() -> None:
    exact = NOW + timedelta(microseconds=1)
    assert ManagedKey.from_json(replace(KEY, changed=exact).to_json()).changed == exact
