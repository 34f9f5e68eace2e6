"""`[log]`."""

from __future__ import annotations

from typing import Literal

from offload.config.model import Model


class Log(Model):
    """What is logged to standard error, and how a line looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
