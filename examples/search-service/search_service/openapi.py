"""The description of the API, OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html), out of the code's own types.

An operation names the type that reads its parameters and the type that writes its answer; nothing is described twice.
"""

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from pydantic import TypeAdapter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from search_service.parameters import Parameters
from search_service.problems import InvalidParameters, Problem
from search_service.reference import page

VERSION = "3.1.1"
REFERENCE = "#/components/schemas/{model}"

Document = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """A search, by GET.

    Attributes:
        endpoint: answers it; its docstring describes it.
        answer: the type of what it answers with 200.
        example: parameters that find something.
    """

    path: str
    endpoint: Callable[[Request], Coroutine[Any, Any, Response]]
    parameters: Parameters[Any]
    answer: TypeAdapter[Any]
    example: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the operation is called."""
        return self.endpoint.__name__

    @property
    def description(self) -> str:
        """What it does, in a sentence."""
        said = (self.endpoint.__doc__ or "").partition("\n\n")[0]
        return re.sub(r"^`.*?`: ", "", " ".join(said.split())).capitalize()

    @property
    def link(self) -> str:
        """The example, to be followed."""
        return f"{self.path}?{urlencode(self.example)}"


def document(operations: Sequence[Operation], title: str, version: str, about: str) -> Document:
    """The description of all operations."""
    answers = {operation.name: operation.answer for operation in operations}
    kinds = {**answers, "InvalidParameters": TypeAdapter(InvalidParameters), "Problem": TypeAdapter(Problem)}
    asked = [(name, "serialization", kind) for name, kind in kinds.items()]
    found, schemas = TypeAdapter.json_schemas(asked, ref_template=REFERENCE)  # type: ignore[arg-type]
    of_kind = {name: schema for (name, _), schema in found.items()}
    return {
        "openapi": VERSION,
        "info": {"title": title, "version": version, "description": about},
        "paths": {operation.path: {"get": _operation(operation, of_kind)} for operation in operations},
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(operation: Operation, schemas: Mapping[str, Any]) -> Document:
    wrong, later = (_content(schemas[name], "application/problem+json") for name in ("InvalidParameters", "Problem"))
    retry = {"Retry-After": {"description": "in seconds", "required": True, "schema": {"type": "integer"}}}
    return {
        "operationId": operation.name,
        "summary": operation.description,
        "parameters": _parameters(operation),
        "responses": {
            "200": {"description": "What was found", **_content(schemas[operation.name], "application/json")},
            "422": {"description": "Parameters that cannot be answered, all of them named", **wrong},
            "503": {"description": "Not now: try again later", "headers": retry, **later},
        },
    }


def _content(schema: Document, kind: str) -> Document:
    return {"content": {kind: {"schema": schema}}}


def _parameters(operation: Operation) -> list[Document]:
    schema = operation.parameters.schema
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema["required"],
            "description": described["description"],
            "schema": _given(described),
            **({"example": operation.example[name]} if name in operation.example else {}),
        }
        for name, described in schema["properties"].items()
    ]


def _given(described: Document) -> Document:
    """The schema of a parameter that is given; the null of one that may be left out is no value to give."""
    choices = [choice for choice in described.get("anyOf", []) if choice != {"type": "null"}]
    kept = {name: value for name, value in described.items() if name not in ("anyOf", "title", "description")}
    whole = {**kept, **choices[0]} if choices else kept
    return {name: value for name, value in whole.items() if value is not None}


def routes(operations: Sequence[Operation], title: str, version: str, about: str) -> list[BaseRoute]:
    """The operations, their description at `/openapi.json`, and the same for people at `/docs`."""
    described = document(operations, title, version, about)
    written = to_json(described)
    html = page(described, {operation.path: operation.link for operation in operations})

    async def description(_request: Request) -> Response:
        return Response(written, media_type="application/json")

    async def reference(_request: Request) -> Response:
        return HTMLResponse(html)

    searches = [Route(operation.path, operation.endpoint) for operation in operations]
    return [*searches, Route("/openapi.json", description), Route("/docs", reference)]
