"""What all settings share, and the kinds of values that several of them have."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def _resolved(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Path:
    if value == "":
        raise ValueError("is empty; write the path of a file")
    path: Path = handler(value)
    base = (info.context or {}).get("base")
    return path if base is None else Path(os.path.normpath(base / path))


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name; use up to 63 letters, digits, '.', '_' and '-',"
            " with a letter or digit at both ends"
        )
    return value


def _word_or_nothing(value: str) -> str:
    return _word(value) if value else value


File = Annotated[Path, WrapValidator(_resolved)]
Name = Annotated[str, AfterValidator(_word)]
Zone = Annotated[str, AfterValidator(_word_or_nothing)]
"""A name, or '' for none."""
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Model(BaseModel):
    """What all settings share: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


def kind_or(default: str) -> Discriminator:
    """Tells the tables of a union apart by their `kind`, which is `default` where it is left out.

    The tables are `Annotated[..., Tag(KIND)]`.
    """

    def kind(value: Any) -> Any:
        if isinstance(value, dict):
            return value.get("kind", default)
        return getattr(value, "kind", default)

    return Discriminator(kind)


def refuse_repeats(values: Sequence[str], noun: str) -> None:
    """Raise ValueError, which names the first value that is there twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{noun} {value!r} stands twice; remove one")
        seen.add(value)
