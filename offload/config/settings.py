"""The whole file."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from offload.config.frontend import Frontend
from offload.config.log import Log
from offload.config.model import Model
from offload.config.worker import Worker

Role = Literal["frontend", "worker"]


class Settings(Model):
    """The whole file: `[log]`, and `[frontend]` or `[worker]` or both."""

    log: Log = Log()
    frontend: Frontend | None = None
    worker: Worker | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.frontend is None and self.worker is None:
            raise ValueError("configures nothing to run; add a [frontend] or a [worker] table")
        return self
