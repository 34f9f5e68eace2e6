"""The API's description (OpenAPI 3.1), made of the same tables and models that serve it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel

from offload.admin.problem import MEDIA_TYPE, ProblemDocument
from offload.admin.route import Route
from offload.cluster.acts import Act
from offload.cluster.roles import roles_for
from offload.version import __version__

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{model}"
_PROBLEMS: Final = {
    400: "The request cannot be read",
    401: "Neither a client certificate nor a token of a user",
    403: "The role does not cover it",
    404: "There is no such thing",
    409: "Its state does not allow it, the name is in use, or the same request is being done",
    413: "The request is too large",
    415: "The body is not JSON",
    422: "The request asks for what cannot be",
    503: "Not possible now; Retry-After says when to try again",
}
_SECURITY: Final[list[Json]] = [{"certificate": []}, {"token": []}]
_SCHEMES: Final = {
    "certificate": {
        "type": "mutualTLS",
        "description": "a client certificate that the cluster issued to a user",
    },
    "token": {"type": "http", "scheme": "bearer", "description": "made by POST /v1/tokens"},
    "invitation": {"type": "http", "scheme": "bearer", "description": "an invitation's secret"},
}


class Plain:
    """An operation that is no act: what it takes and answers."""

    def __init__(
        self,
        method: str,
        path: str,
        summary: str,
        answer: type[BaseModel] | None,
        *,
        body: type[BaseModel] | None = None,
        status: int = 200,
        secured: bool = True,
        invitation: bool = False,
        parameters: Iterable[Json] = (),
    ) -> None:
        """`answer` None: any JSON. secured: wants a user; invitation: wants the secret of one."""
        self.method, self.path, self.summary = method, path, summary
        self.answer, self.body, self.status = answer, body, status
        self.parameters = list(parameters)
        self.security: list[Json] = [{"invitation": []}] if invitation else _SECURITY
        if not secured:
            self.security = []


class Document:
    """Collects operations, and the schemas that they name."""

    def __init__(self) -> None:
        self._paths: dict[str, Json] = {}
        self._schemas: Json = {}

    def add_act(self, route: Route, answer: type[BaseModel]) -> None:
        """An operation that performs an act."""
        schema = self._schema(route.act, "validation")
        operation: Json = {
            "operationId": route.act.name,
            "summary": _first_line(route.act),
            "description": f"Role: {roles_for(route.act)}.",
            "tags": [route.path.split("/")[2]],
            "security": _SECURITY,
            "parameters": [*_parameters(route, schema)],
            "responses": self._responses(route.status, answer),
        }
        if route.act.writes:
            operation["parameters"] += _WRITE_PARAMETERS
            operation["responses"]["202"] = _content(
                "Officers must approve first", {"$ref": _REFERENCE.format(model="ApprovalPending")}
            )
        if route.has_body:
            operation["requestBody"] = self._body(route, schema)
        self._paths.setdefault(route.path, {})[route.method.lower()] = operation

    def add(self, plain: Plain) -> None:
        """An operation that is no act."""
        operation: Json = {
            "operationId": f"{plain.method.lower()}{plain.path.replace('/', '.')}",
            "summary": plain.summary,
            "security": plain.security,
            "parameters": plain.parameters,
            "responses": self._responses(plain.status, plain.answer),
        }
        if plain.body is not None:
            self._schemas[plain.body.__name__] = self._schema(plain.body, "validation")
            reference = {"$ref": _REFERENCE.format(model=plain.body.__name__)}
            operation["requestBody"] = {"required": True, "content": _json(reference)}
        self._paths.setdefault(plain.path, {})[plain.method.lower()] = operation

    def add_model(self, model: type[BaseModel]) -> None:
        """A model that several operations name."""
        self._schemas[_name(model)] = self._schema(model, "serialization")

    def finished(self) -> Json:
        """The document."""
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "offload",
                "version": __version__,
                "description": "The life cycle of keys, and who may do what with them.",
            },
            "paths": self._paths,
            "components": {"schemas": self._schemas, "securitySchemes": _SCHEMES},
        }

    def _schema(self, model: type[BaseModel], mode: Literal["validation", "serialization"]) -> Json:
        schema = model.model_json_schema(mode=mode, ref_template=_REFERENCE)
        self._schemas.update(schema.pop("$defs", {}))
        return schema

    def _responses(self, status: int, answer: type[BaseModel] | None) -> Json:
        schema: Json = {"type": "object"}
        if answer is not None:
            self.add_model(answer)
            schema = {"$ref": _REFERENCE.format(model=_name(answer))}
        problem = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}
        problems = {
            str(code): {"description": text, "content": problem} for code, text in _PROBLEMS.items()
        }
        return {
            str(status): _content("Done", schema),
            **problems,
            "default": {"description": "A problem", "content": problem},
        }

    def _body(self, route: Route, schema: Json) -> Json:
        body = {**schema, "properties": {name: schema["properties"][name] for name in route.fields}}
        required = [name for name in schema.get("required", ()) if name in route.fields]
        body.pop("required", None)
        if required:
            body["required"] = required
        name = route.act.__name__
        self._schemas[name] = body
        content = _json({"$ref": _REFERENCE.format(model=name)})
        return {"required": bool(required), "content": content}


def document(
    routes: Iterable[Route],
    answers: Mapping[type[Act], type[BaseModel]],
    plain: Iterable[Plain],
    models: Iterable[type[BaseModel]],
) -> Json:
    """The description of those routes and operations; `models` are named by all."""
    made = Document()
    made.add_model(ProblemDocument)
    for model in models:
        made.add_model(model)
    for route in routes:
        made.add_act(route, answers[route.act])
    for operation in plain:
        made.add(operation)
    return made.finished()


def _parameters(route: Route, schema: Json) -> list[Json]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": schema["properties"][name]}
        for name in route.variables
    ]
    if route.method in ("POST", "PUT"):
        return in_path
    required = schema.get("required", ())
    in_query = [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _not_null(schema["properties"][name]),
        }
        for name in route.fields
    ]
    return [*in_path, *in_query]


def _not_null(schema: Json) -> Json:
    """A query leaves out what is null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})}


def _first_line(act: type[Act]) -> str:
    return (act.__doc__ or act.name).strip().split("\n", 1)[0]


def _name(model: type[BaseModel]) -> str:
    return str(model.model_config.get("title") or model.__name__)


def _content(text: str, schema: Json) -> Json:
    return {"description": text, "content": _json(schema)}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


_WRITE_PARAMETERS: Final[list[Json]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same request gets the same answer for 24 hours",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    {
        "name": "Offload-Approval",
        "in": "header",
        "description": "The approval that officers have signed for this very request",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
]
