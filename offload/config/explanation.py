"""What pydantic found wrong, in words that name the key and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from offload.config.model import Model
from offload.config.problem import Problem

Location = tuple[int | str, ...]


def explained(error: ValidationError, whole: type[Model]) -> list[Problem]:
    """One Problem for each thing wrong in what was to become a `whole`."""
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    return [
        _problem(detail, _place(detail["loc"], whole))
        for detail in details
        if detail["type"] != "too_short" or not _has_inner(detail["loc"], places)
    ]


def _has_inner(location: Location, places: list[Location]) -> bool:
    # pydantic also calls a list too short when it dropped the entries that are wrong.
    depth = len(location)
    return any(len(place) > depth and place[:depth] == location for place in places)


class _Place(NamedTuple):
    """Where something is wrong: the key as the file has it, and what may stand beside its end."""

    key: str
    siblings: tuple[str, ...]


def _place(location: Location, whole: type[Model]) -> _Place:
    text = ""
    siblings: tuple[str, ...] = ()
    models = [whole]
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        if len(models) > 1:
            # In a table of several kinds pydantic says the kind as well, which the file does not.
            models = [model for model in models if part in _kinds(model)]
            continue
        (fields,) = [model.model_fields for model in models] or [{}]
        text, siblings = f"{text}.{part}", tuple(fields)
        models = list(_models(fields[part].annotation)) if part in fields else []
    return _Place(text.removeprefix("."), siblings)


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["kind"].annotation)


def _models(annotation: Any) -> Iterator[type[Model]]:
    """The settings models inside `X`, `X | None`, `tuple[X, ...]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _problem(detail: Any, place: _Place) -> Problem:
    kind, message = detail["type"], detail["msg"]
    fixed = {
        "extra_forbidden": ("unknown key", _nearest(place.key.rpartition(".")[2], place.siblings)),
        "missing": ("is missing", "add it"),
        "too_short": ("is empty", "add at least one entry"),
        "model_type": ("is not a table", f"write it as [{place.key}]"),
        "tuple_type": ("is not a list", "put it in '[]'"),
        "union_tag_invalid": ("is of an unknown kind", f"use kind = {_expected(detail)}"),
    }
    if kind in fixed:
        return Problem(place.key, *fixed[kind])
    text, _, remedy = message.removeprefix("Value error, ").partition("; ")
    if text.startswith("Input should be "):
        wanted = text.removeprefix("Input should be ").partition(", unable to")[0]
        noun = "a number " if wanted.startswith(("greater", "less")) else ""
        return Problem(place.key, f"{detail['input']!r} is not valid", f"use {noun}{wanted}")
    if kind != "value_error":
        text = text[:1].lower() + text[1:]
    return Problem(place.key, text, remedy)


def _expected(detail: Any) -> str:
    tags: str = detail.get("ctx", {}).get("expected_tags", "")
    return " or ".join(tags.split(", "))


def _nearest(key: str, siblings: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, siblings, 1)
    return f"did you mean '{close[0]}'?" if close else "remove it or correct its spelling"
