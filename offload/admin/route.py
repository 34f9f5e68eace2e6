"""One way in: an HTTP method and path, and the act it asks for."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from offload.cluster.acts import Act

_VARIABLE: Final = re.compile(r"\{(\w+)\}")


class Route(NamedTuple):
    """`path` has fields of the act in braces. The other fields are in the query of a GET or
    DELETE, in the JSON body of a POST or PUT.

    status: of success. location: the answer's own path, with fields of the answer in braces.
    secret: the answer holds a secret, and is not kept to be repeated.
    """

    method: str
    path: str
    act: type[Act]
    status: int = 200
    location: str = ""
    secret: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields in the path."""
        return variables(self.path)

    @property
    def has_body(self) -> bool:
        """Whether fields come in a body."""
        return self.method in ("POST", "PUT") and bool(self.fields)

    @property
    def fields(self) -> tuple[str, ...]:
        """The act's fields that are not in the path."""
        return tuple(name for name in self.act.model_fields if name not in self.variables)


def variables(template: str) -> tuple[str, ...]:
    """The names in braces."""
    return tuple(_VARIABLE.findall(template))
