"""What callers want recorded, made fit for one line: bounded, and plain JSON in ASCII."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from hashlib import sha256
from itertools import islice
from typing import Any

MAX_FIELDS = 32 << 10
"""Bytes of a record's fields as JSON."""
MAX_TEXT = 4096
_MAX_NAME = 128
_MAX_ITEMS = 256
_MAX_DEPTH = 6
_MAX_SUMMARY_TEXT = 256

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def encoded(fields: Mapping[str, Any]) -> str:
    """The fields as a JSON object: ASCII without a control character, at most MAX_FIELDS long.

    What is too long is cut and says so; what is no JSON value is named by its type.
    """
    text = _encode(_object(fields, _MAX_DEPTH))
    return text if len(text) <= MAX_FIELDS else _encode(_summary(fields, text))


def _summary(fields: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The fields of one short value, and what identifies the whole."""
    short = {
        _text(str(name), _MAX_NAME): _text(value, _MAX_SUMMARY_TEXT)
        for name, value in islice(fields.items(), 16)
        if isinstance(value, str)
    }
    whole = text.encode()
    return {**short, "oversized": len(whole), "sha256": sha256(whole).hexdigest()}


def _value(value: Any, depth: int) -> Any:
    if type(value) is str and len(value) <= MAX_TEXT and value.isascii():
        return value
    if isinstance(value, str) and not isinstance(value, Enum):
        return _text(value, MAX_TEXT)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not isinstance(value, Enum):
        return _number(value)
    if isinstance(value, Enum):
        return _value(value.value, depth)
    if isinstance(value, datetime):
        return value.isoformat()
    return _container(value, depth)


def _container(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping) and depth > 0:
        return _object(value, depth - 1)
    if isinstance(value, list | tuple | set | frozenset) and depth > 0:
        return _array(value, len(value), depth - 1)
    return f"<{type(value).__name__}>"


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    items = islice(value.items(), _MAX_ITEMS)
    made = {_text(str(name), _MAX_NAME): _value(item, depth) for name, item in items}
    if len(value) > _MAX_ITEMS:
        made["..."] = f"{len(value) - _MAX_ITEMS} more"
    return made


def _array(value: Iterable[Any], length: int, depth: int) -> list[Any]:
    made = [_value(item, depth) for item in islice(value, _MAX_ITEMS)]
    if length > _MAX_ITEMS:
        made.append(f"... {length - _MAX_ITEMS} more")
    return made


def _number(value: float) -> float | str:
    if isinstance(value, int):
        # Beyond 64 bits parsers differ, and Python refuses to print the really long ones.
        return value if -(1 << 63) <= value < 1 << 63 else _text(hex(value), MAX_TEXT)
    return value if math.isfinite(value) else str(value)


def _text(value: str, most: int) -> str:
    if not value.isascii():
        # A lone surrogate is no Unicode text: parsers of the log would refuse the record.
        value = value.encode("utf-8", "backslashreplace").decode()
    if len(value) <= most:
        return str(value)
    digest = sha256(value.encode()).hexdigest()
    return f"{value[:most]}... ({len(value)} characters, sha256 {digest})"
