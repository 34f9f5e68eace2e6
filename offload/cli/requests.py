"""An act as the HTTP request that asks for it: the table of routes, read backwards."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

from offload.admin.route import Route
from offload.admin.routes import ROUTES
from offload.cluster.acts import Act


class HttpRequest(NamedTuple):
    """body: None for none; query: of text."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None


def request_of(act: Act) -> HttpRequest:
    """What a member is to be sent."""
    route = _by_act()[type(act)]
    values = act.model_dump(mode="json", exclude_unset=True)
    path = route.path.format_map(
        {name: quote(str(getattr(act, name)), safe="@") for name in route.variables}
    )
    rest = {name: values[name] for name in route.fields if values.get(name) is not None}
    if route.has_body:
        return HttpRequest(route.method, path, {}, rest)
    return HttpRequest(route.method, path, {name: str(value) for name, value in rest.items()}, None)


@cache
def _by_act() -> dict[type[Act], Route]:
    return {route.act: route for route in ROUTES}
