"""The description of an API, OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html), out of the code's own types.

It holds the endpoints that `operation` decorates, mounted ones too; nothing is described twice. Where nobody asks for
it, nothing of this is imported.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from pydantic import TypeAdapter
from starlette.convertors import Convertor
from starlette.routing import PARAM_REGEX, BaseRoute, Mount, Route

from lmservice.errors import ServiceDefinitionError
from lmservice.web.operation import Operation, operation_of
from lmservice.web.phrases import PHRASES
from lmservice.web.problem import MEDIA_TYPE

VERSION: Final = "3.1.1"
JSON: Final = "application/json"
REFERENCE: Final = "#/components/schemas/{model}"

Document = dict[str, Any]

_TEXT: Final = {"type": "string"}
_OF_CONVERTORS: Final = {
    "IntegerConvertor": {"type": "integer", "minimum": 0},
    "FloatConvertor": {"type": "number", "minimum": 0},
    "UUIDConvertor": {"type": "string", "format": "uuid"},
}
_RETRIED: Final = frozenset({429, 503})
_PROBLEM: Final[Document] = {
    "description": "What went wrong (RFC 9457)",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": _TEXT,
        "title": {**_TEXT, "description": "the status in words"},
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "what went wrong, for people"},
        "request_id": {**_TEXT, "description": "under which the service's log knows the request"},
    },
}
_ERROR: Final[Document] = {
    "description": "One thing that is wrong with a request",
    "type": "object",
    "required": ["place", "code", "detail"],
    "properties": {
        "place": {"enum": ["path", "query", "body"]},
        "parameter": {**_TEXT, "description": "of the path or query"},
        "pointer": {**_TEXT, "description": "which value of the body (RFC 6901)"},
        "code": {**_TEXT, "description": "for programs"},
        "detail": {**_TEXT, "description": "for people"},
    },
}
_INVALID: Final[Document] = {
    "description": "Everything that is wrong with a request",
    "type": "object",
    "required": [*_PROBLEM["required"], "errors"],
    "properties": {
        **_PROBLEM["properties"],
        "errors": {"type": "array", "items": {"$ref": REFERENCE.format(model="InputErrorDocument")}},
        "errors_left_out": {"type": "integer", "description": "how many more there are"},
    },
}
_OWN: Final = {"ProblemDocument": _PROBLEM, "InvalidRequestDocument": _INVALID, "InputErrorDocument": _ERROR}


class Described(NamedTuple):
    """An operation at its place.

    Attributes:
        path: as OpenAPI writes it: `/notes/{number}`.
        method: in small letters.
        convertors: starlette's, of the path's parameters.
        name: the operation's own among all.
    """

    path: str
    method: str
    operation: Operation
    convertors: Mapping[str, Convertor[Any]]
    name: str

    @property
    def link(self) -> str:
        """Return the example to be followed, relative to the root; '' where there is none."""
        example = dict(self.operation.example)
        if self.method != "get" or not (example or "{" not in self.path):
            return ""
        path = re.sub(r"\{(\w+)\}", lambda match: example.pop(match[1], match[0]), self.path)
        return f"{path}?{urlencode(example)}" if example else path


def described(routes: Sequence[BaseRoute]) -> list[Described]:
    """Return every operation of the routes, in their order, each under a name of its own."""
    operations: list[Described] = []
    names: set[str] = set()
    for path, method, operation, convertors in _walk(routes, "", {}):
        name = operation.function.__name__
        while name in names:
            name += f"_{method}" if not name.endswith(method) else "_again"
        names.add(name)
        operations.append(Described(path, method, operation, convertors, name))
    return operations


def _walk(
    routes: Sequence[BaseRoute], prefix: str, convertors: Mapping[str, Convertor[Any]]
) -> Iterator[tuple[str, str, Operation, Mapping[str, Convertor[Any]]]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _walk(route.routes or (), prefix + _plain(route.path), {**convertors, **route.param_convertors})
        elif isinstance(route, Route) and route.include_in_schema:
            operation = operation_of(route.endpoint)
            for method in sorted((route.methods or set()) - {"HEAD"}):
                known = {**convertors, **route.param_convertors}
                if operation is not None:
                    yield prefix + _plain(route.path), method.lower(), operation, known


def _plain(path: str) -> str:
    return PARAM_REGEX.sub(r"{\1}", path)


def document(operations: Sequence[Described], title: str, version: str, about: str = "") -> Document:
    """Return the description of all operations.

    Raises:
        ServiceDefinitionError: an endpoint reads a path parameter that its route does not have.
    """
    schemas, shared = _schemas(operations)
    paths: dict[str, Document] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method] = _operation(one, schemas, shared)
    components = {**shared, **{name: schema for name, schema in _OWN.items() if name not in shared}}
    info = {"title": title, "version": version or "0", **({"description": about} if about else {})}
    return {
        "openapi": VERSION,
        "info": info,
        "paths": paths,
        "components": {"schemas": _used(paths, components)},
    }


def _schemas(operations: Sequence[Described]) -> tuple[dict[tuple[str, str], Document], Document]:
    """Return the schema of each type by its operation's name and its part, and those that several refer to."""
    wanted: list[tuple[tuple[str, str], Any, TypeAdapter[Any]]] = []
    for one in operations:
        parts: dict[str, TypeAdapter[Any]] = dict(one.operation.inputs.adapters.items())
        if one.operation.query is not None:
            parts["query"] = one.operation.query
        wanted += [((one.name, part), "validation", adapter) for part, adapter in parts.items()]
        if one.operation.answer is not None:
            wanted.append(((one.name, "answer"), "serialization", one.operation.answer))
        for status, problem in one.operation.problems.items():
            if isinstance(problem, tuple):
                wanted.append(((one.name, str(int(status))), "serialization", TypeAdapter(problem[1])))
    schemas, definitions = TypeAdapter.json_schemas(wanted, ref_template=REFERENCE)
    return {key: schema for (key, _), schema in schemas.items()}, definitions.get("$defs", {})


def _operation(one: Described, schemas: Mapping[tuple[str, str], Document], shared: Document) -> Document:
    lines = cleandoc(one.operation.function.__doc__ or "").partition("\n\n")
    summary, more = (" ".join(text.split()) for text in (lines[0], lines[2].partition("\n\nArgs:")[0]))
    body = schemas.get((one.name, "body"))
    return {
        "operationId": one.name,
        **({"summary": summary} if summary else {}),
        **({"description": more} if more and not more.startswith("Args:") else {}),
        "parameters": [*_path_parameters(one, schemas, shared), *_query_parameters(one, schemas, shared)],
        **({"requestBody": {"required": True, "content": {JSON: {"schema": body}}}} if body is not None else {}),
        "responses": _responses(one, schemas),
    }


def _path_parameters(one: Described, schemas: Mapping[tuple[str, str], Document], shared: Document) -> list[Document]:
    read = _properties(schemas.get((one.name, "path"), {}), shared)
    strangers = set(read) - set(one.convertors)
    if strangers:
        where = f"{one.operation.function.__qualname__!r}, at {one.path}"
        raise ServiceDefinitionError(f"operation {where}, reads {min(strangers)!r}, which the path does not have")
    plain = {name: _OF_CONVERTORS.get(type(kind).__name__, _TEXT) for name, kind in one.convertors.items()}
    return [
        _parameter(one, name, "path", read.get(name, schema), required=True)
        for name, schema in plain.items()
        if f"{{{name}}}" in one.path
    ]


def _query_parameters(one: Described, schemas: Mapping[tuple[str, str], Document], shared: Document) -> list[Document]:
    whole = schemas.get((one.name, "query"), {})
    required = _resolved(whole, shared).get("required", ())
    properties = _properties(whole, shared).items()
    return [_parameter(one, name, "query", schema, required=name in required) for name, schema in properties]


def _parameter(one: Described, name: str, where: str, schema: Document, *, required: bool) -> Document:
    example = one.operation.example
    return {
        "name": name,
        "in": where,
        "required": required,
        **({"description": schema["description"]} if "description" in schema else {}),
        "schema": _value_schema(schema),
        **({"example": example[name]} if name in example else {}),
    }


def _value_schema(schema: Document) -> Document:
    """Return the schema of a parameter that is there; the null of one that may be left out is no value to send."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "title", "description")}
    if len(choices) > 1:
        kept["anyOf"] = choices
    whole = {**kept, **choices[0]} if len(choices) == 1 else kept
    return {name: value for name, value in whole.items() if value is not None}


def _properties(schema: Document, shared: Document) -> Document:
    properties: Document = _resolved(schema, shared).get("properties", {})
    return properties


def _resolved(schema: Document, shared: Document) -> Document:
    reference = schema.get("$ref", "")
    return shared[reference.rpartition("/")[2]] if reference else schema


def _responses(one: Described, schemas: Mapping[tuple[str, str], Document]) -> Document:
    operation = one.operation
    answer = schemas.get((one.name, "answer"))
    content = {"content": {JSON: {"schema": answer}}} if answer is not None else {}
    responses = {str(operation.status): {"description": PHRASES.get(operation.status, "The answer"), **content}}
    if operation.inputs.adapters:
        responses["422"] = _problem("InvalidRequestDocument", "The request does not fit; all that is wrong with it")
    if "body" in operation.inputs.adapters:
        responses["415"] = _problem("ProblemDocument", "The body is no JSON")
    for status, problem in operation.problems.items():
        text = problem if isinstance(problem, str) else problem[0]
        responses[str(int(status))] = _problem("ProblemDocument", text)
        if isinstance(problem, tuple):
            responses[str(int(status))]["content"] = {MEDIA_TYPE: {"schema": schemas[one.name, str(int(status))]}}
        if status in _RETRIED:
            seconds = {"description": "in seconds", "required": True, "schema": {"type": "integer"}}
            responses[str(int(status))]["headers"] = {"Retry-After": seconds}
    return dict(sorted(responses.items())) | {"default": _problem("ProblemDocument", "Any other problem")}


def _problem(schema: str, text: str) -> Document:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model=schema)}}}}


def _used(paths: Document, components: Document) -> Document:
    """Return those of the components that something refers to."""
    used: set[str] = set()
    waiting = set(_references(paths))
    while waiting:
        name = waiting.pop()
        used.add(name)
        waiting |= set(_references(components[name])) - used
    return {name: schema for name, schema in components.items() if name in used}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
