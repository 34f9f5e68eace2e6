"""Keys as answers show them, page by page."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.still_view import StillView, managed

from offload.catalogue.records import UsageRecord
from offload.cluster.acts import ListKeys
from offload.cluster.failures import NotFound
from offload.cluster.key_views import key_view, page
from offload.keys.algorithm import Algorithm
from offload.keys.managed import KeyPolicy, ManagedKey
from offload.keys.state import State

SPKI = (
    ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)


def key(number: int, **changes: Any) -> ManagedKey:
    return replace(managed(number, **changes), public_key=SPKI, label=f"key-{number:05}")


KEYS = [
    key(1, state=State.ACTIVE, policy=KeyPolicy(sites=("www.example.org",))),
    key(2, state=State.ACTIVE, policy=KeyPolicy(sites=("*.example.org",), frontends=("f1",))),
    key(3, algorithm=Algorithm.ED25519),
]


def listed(still: StillView, **filters: Any) -> list[str]:
    return [one.label for one in page(still.view, ListKeys(**filters)).keys]


def test_shows_who_holds_a_key_and_how_often_it_signed() -> None:
    still = StillView(KEYS, {1: "ab"})
    for member, count in (("a", 3), ("b", 4)):
        usage = UsageRecord(member=member, ski=KEYS[0].ski.hex(), signatures=count)
        still.put(f"usage/{member}/{KEYS[0].ski.hex()}", usage.body())
    shown = key_view(still.view, KEYS[0])
    assert [copy.member for copy in shown.copies] == ["a", "b"]
    assert (shown.copies_needed, shown.signatures, shown.state) == (2, 7, "active")
    assert shown.public_key.startswith("-----BEGIN PUBLIC KEY-----")
    assert "wrapped" not in shown.model_dump()


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [1, 2, 3]),
        ({"state": "active"}, [1, 2]),
        ({"algorithm": "ed25519"}, [3]),
        ({"label": "key-00002"}, [2]),
        ({"label": "key-*"}, [1, 2, 3]),
        ({"label": "key-"}, []),
        ({"site": "WWW.example.org"}, [1, 2, 3]),
        ({"site": "mail.example.org"}, [2, 3]),
        ({"site": "a.b.example.org"}, [3]),
        ({"frontend": "f2"}, [1, 3]),
        ({"frontend": "f1", "state": "active"}, [1, 2]),
    ],
    ids=str,
)
def test_filters(filters: dict[str, str], numbers: list[int]) -> None:
    assert listed(StillView(KEYS), **filters) == [f"key-{number:05}" for number in numbers]


def test_pages_follow_each_other_without_a_gap() -> None:
    keys = [key(number) for number in range(1, 8)]
    keys.append(replace(key(9), label=keys[2].label, generation=2))
    still = StillView(keys)
    label = still.labels[keys[2].label]
    still.labels[label.label] = label.model_copy(
        update={"generations": (keys[2].ski.hex(), keys[-1].ski.hex())}
    )
    seen: list[str] = []
    after = ""
    while True:
        found = page(still.view, ListKeys(limit=3, after=after))
        seen += [f"{one.label}@{one.generation}" for one in found.keys]
        after = found.next
        if not after:
            break
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == 8
    by_ski = page(still.view, ListKeys(after=keys[2].ski.hex(), limit=1))
    assert [(one.label, one.generation) for one in by_ski.keys] == [(keys[2].label, 2)]
    with pytest.raises(NotFound, match="begin the list anew"):
        page(still.view, ListKeys(after="none@1"))


def test_the_first_page_of_ten_thousand_comes_at_once() -> None:
    still = StillView([key(number) for number in range(1, 10_001)])
    began = time.process_time()
    assert len(page(still.view, ListKeys()).keys) == 100
    assert time.process_time() - began < 0.1
