"""Who acts, and what does the act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from offload.cluster.acts import Act
from offload.keys.role import Role


class Actor(NamedTuple):
    """Who acts, as authenticated; `via` is 'certificate', 'token' or 'local'."""

    name: str
    role: Role
    via: str = "certificate"


Handler = Callable[[Actor, Any], Awaitable[BaseModel]]
Handlers = Mapping[type[Act], Handler]
"""What each service contributes: it does the act, which has been allowed and will be recorded."""
