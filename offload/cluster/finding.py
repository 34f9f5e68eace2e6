"""The key that somebody means."""

from __future__ import annotations

import re

from offload.cluster.failures import NotFound, WrongState
from offload.cluster.view import View
from offload.keys.managed import ManagedKey, Purpose

_SKI = re.compile(r"[0-9a-fA-F]{40}")
_GENERATION = re.compile(r"(?P<label>.+)@(?P<generation>[0-9]{1,9})")


def find(view: View, text: str) -> ManagedKey:
    """By label (the current generation, or the last one before any is current), LABEL@GENERATION
    or SKI; raises NotFound.
    """
    key = _by_ski(view, text) if _SKI.fullmatch(text) else _by_label(view, text)
    if key is None:
        raise NotFound(f"there is no key {text!r}: see the list of keys")
    return key


def find_owned(view: View, text: str) -> ManagedKey:
    """Like `find`, for acts of the keys' owners; raises WrongState for the cluster's own key."""
    key = find(view, text)
    if key.purpose is Purpose.AUTHORITY:
        raise WrongState("this is the authority's key: the cluster alone looks after it")
    return key


def name_of(key: ManagedKey) -> str:
    """LABEL@GENERATION."""
    return f"{key.label}@{key.generation}"


def is_current(view: View, key: ManagedKey) -> bool:
    """Whether it is the generation that the label means."""
    label = view.labels.get(key.label)
    return label is not None and label.current == key.ski.hex()


def _by_ski(view: View, text: str) -> ManagedKey | None:
    return view.keys.get(bytes.fromhex(text))


def _by_label(view: View, text: str) -> ManagedKey | None:
    if text in view.labels:
        record = view.labels[text]
        wanted = record.current or (record.generations[-1] if record.generations else "")
        return _by_ski(view, wanted)
    parts = _GENERATION.fullmatch(text)
    record_of = view.labels.get(parts["label"]) if parts else None
    if parts is None or record_of is None:
        return None
    found = (_by_ski(view, ski) for ski in record_of.generations)
    generation = int(parts["generation"])
    return next((key for key in found if key and key.generation == generation), None)
