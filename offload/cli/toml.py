"""Writing TOML: the standard library reads it only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def dumps(table: Mapping[str, Any]) -> str:
    """`table` as TOML. Values: str, bool, int, finite float, and lists and mappings of these."""
    return "\n".join(_lines(table, "")).strip() + "\n"


def _lines(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in table.items():
        if not _is_table(value) and not _is_tables(value):
            yield f"{key} = {_value(value)}"
    for key, value in table.items():
        path = f"{prefix}{key}"
        if _is_table(value):
            yield from ("", f"[{path}]", *_lines(value, f"{path}."))
        elif _is_tables(value):
            for entry in value:
                yield from ("", f"[[{path}]]", *_lines(entry, f"{path}."))


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    if isinstance(value, str):
        # TOML's basic strings are JSON's, but for DEL, which JSON leaves bare.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
