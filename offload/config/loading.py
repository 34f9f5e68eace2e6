"""Reads a file, lays the environment over it, and validates it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from offload.config.explanation import explained
from offload.config.problem import ConfigurationError, Problem
from offload.config.settings import Role, Settings

ENVIRONMENT_PREFIX = "OFFLOAD_"

_ROLES = ("frontend", "worker")


def load(
    path: str | Path,
    *,
    role: Role | None = None,
    environment: Mapping[str, str] | None = None,
    files: bool = True,
) -> Settings:
    """Read and check the configuration at `path`.

    With a `role`, its table must be there, and the other one is left out: on one machine each
    runs as a user of its own, who cannot read the other's files. Variables `OFFLOAD_TABLE__KEY`
    of `environment` (default: the process's) override the file. Relative paths are relative to
    the directory of the file. With `files`, the certificates, keys and directories that it names
    are checked too. Raises ConfigurationError.
    """
    path = Path(path)
    data = _overridden(_read(path), os.environ if environment is None else environment)
    if role is not None and role in data:
        data = {name: table for name, table in data.items() if name == role or name not in _ROLES}
    try:
        settings = Settings.model_validate(data, context={"base": path.absolute().parent})
    except ValidationError as error:
        raise ConfigurationError(path, explained(error, Settings)) from None
    if role is not None:
        settings = _narrowed(path, settings, role)
    if files:
        from offload import config_files  # loads libcrypto, which only this needs

        problems = config_files.problems(settings)
        if problems:
            raise ConfigurationError(path, problems)
    return settings


def _narrowed(path: Path, settings: Settings, role: Role) -> Settings:
    if getattr(settings, role) is None:
        remedy = f"add a [{role}] table, or name the {role}'s own file"
        raise ConfigurationError(path, [Problem(role, "is missing", remedy)])
    return Settings.model_construct(**{"log": settings.log, role: getattr(settings, role)})


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problem = Problem("", f"cannot be read: {reason}", "check the path and its permissions")
    except UnicodeDecodeError:
        problem = Problem("", "is not UTF-8 text", "save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        problem = Problem("", f"is not TOML: {text[:1].lower()}{text[1:]}", "mend that line")
    raise ConfigurationError(path, [problem])


def _overridden(data: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for variable, value in sorted(environment.items()):
        keys = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        # Other variables of ours share the prefix; only those that begin with a table are settings.
        if not variable.startswith(ENVIRONMENT_PREFIX) or len(keys) < 2:
            continue
        if keys[0] in Settings.model_fields:
            _set(data, keys, value)
    return data


def _set(table: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        child = table.setdefault(key, {})
        if not isinstance(child, dict):
            return
        table = child
    try:
        table[keys[-1]] = json.loads(value) if value[:1] in ("[", "{") else value
    except json.JSONDecodeError:
        table[keys[-1]] = value
