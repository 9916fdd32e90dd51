"""`operation`: an endpoint of `routes=` whose function says what it reads and what it answers.

Its annotations are the one place where that stands: requests are read by them (`lmservice.web.inputs`), answers
written by them, and `/openapi.json` is made of them (`lmservice.web.openapi`).
"""

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Concatenate, Final, Union, get_args, get_origin, get_type_hints, overload

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from lmservice.errors import ServiceDefinitionError
from lmservice.web.inputs import PLACES, Inputs

Endpoint = Callable[[Request[Any]], Coroutine[Any, Any, Response]]
Function = Callable[Concatenate[Request[Any], ...], Any]
Problem = str | tuple[str, Any]
"""What an error means, for people; and the type of its document where that has members of its own."""

ATTRIBUTE: Final = "__lmservice_operation__"
_NOTHING: Final = object()


@dataclass(frozen=True)
class Operation:
    """What an endpoint reads and answers.

    Attributes:
        function: as its author wrote it; its docstring describes it.
        inputs: what is read, and passed to it.
        query: the type of the query, read or not.
        status: of the answer.
        answer: writes what it returns; None where it answers without a body, or with a body of its own making.
        problems: what else it answers, by status.
        example: parameters of the path and query that find something.
    """

    function: Callable[..., Any]
    inputs: Inputs
    query: TypeAdapter[Any] | None
    status: int
    answer: TypeAdapter[Any] | None
    problems: Mapping[int, Problem]
    example: Mapping[str, str]

    async def respond(self, request: Request[Any]) -> Response:
        """Read a request, call the function and write what it returns."""
        values = await self.inputs.read(request)
        if inspect.iscoroutinefunction(self.function):
            value = await self.function(request, **values)
        else:
            value = await run_in_threadpool(self.function, request, **values)
        if isinstance(value, Response):
            return value
        if self.answer is None:
            return Response(status_code=self.status)
        return Response(self.answer.dump_json(value, by_alias=True), self.status, media_type="application/json")


def operation_of(endpoint: object) -> Operation | None:
    """Return what an endpoint reads and answers, where `operation` decorates it."""
    made: Operation | None = getattr(endpoint, ATTRIBUTE, None)
    return made


@overload
def operation(function: Function) -> Endpoint: ...
@overload
def operation(
    *,
    status: int | None = None,
    answer: Any = None,
    query: Any = None,
    problems: Mapping[int, Problem] | None = None,
    example: Mapping[str, str] | None = None,
) -> Callable[[Function], Endpoint]: ...
def operation(
    function: Function | None = None,
    *,
    status: int | None = None,
    answer: Any = None,
    query: Any = None,
    problems: Mapping[int, Problem] | None = None,
    example: Mapping[str, str] | None = None,
) -> Any:
    """Make an endpoint of `routes=` of a function whose annotations say what it reads and answers; a decorator.

        @operation(status=201)
        async def add_note(request: Request, body: NewNote) -> Note: ...

    Beside the request it takes any of `path`, `query` and `body`, each of a type that pydantic can read: a model, a
    dataclass. A request that does not fit is answered with 422 and everything that is wrong with it, as a problem
    document (`InvalidRequestError`, for an exception handler of the author's own); a body that is no JSON with 415.
    What it returns is written as JSON by the type that it is annotated with; a `Response` is sent as it is.

    Args:
        function: a coroutine function, or a plain one, run in a worker thread.
        status: of the answer; default 200, or 204 where the function returns None.
        answer: the type of the answer's body, where the function returns a `Response`: for the description alone.
        query: the type of the query, where the function reads that by itself: for the description alone.
        problems: what else it answers, by status: `{404: "there is no such note"}`.
        example: parameters that find something, for the description.

    Raises:
        ServiceDefinitionError: the function takes something else, or an annotation is missing, or none for pydantic.
    """

    def decorate(function: Function) -> Endpoint:
        types, returned = _annotations(function)
        of_answer = _answer_type(returned) if answer is None else answer
        written = _adapter(function, "answer", of_answer) if of_answer is not _NOTHING else None
        inputs = Inputs({place: _adapter(function, place, types[place]) for place in PLACES if place in types})
        described = _adapter(function, "query", query) if query is not None else inputs.adapters.get("query")
        code = status or (HTTPStatus.NO_CONTENT if returned is NoneType else HTTPStatus.OK)
        made = Operation(function, inputs, described, code, written, dict(problems or {}), dict(example or {}))

        @wraps(function)
        async def endpoint(request: Request[Any]) -> Response:
            return await made.respond(request)

        setattr(endpoint, ATTRIBUTE, made)
        return endpoint

    return decorate if function is None else decorate(function)


def _annotations(function: Callable[..., Any]) -> tuple[dict[Any, Any], Any]:
    """Return the types of what it reads, by place, and of what it returns."""
    if not inspect.isfunction(function):
        raise ServiceDefinitionError(f"operation decorates functions, which {function!r} is not")
    request, *places = inspect.signature(function).parameters
    if request == "self" or not set(places) <= set(PLACES):
        signature = ", ".join((request, *places))
        raise _refused(function, f"it takes ({signature}): beside the request it takes path, query and body alone")
    written = {name: kind for name, kind in _raw_annotations(function).items() if name in {*places, "return"}}
    try:
        hints = get_type_hints(SimpleNamespace(__annotations__=written), function.__globals__, include_extras=True)
    except NameError as error:
        raise _refused(function, f"{error}: its types must be defined before it, and at run time") from None
    missing = [name for name in (*places, "return") if name not in hints]
    if missing:
        raise _refused(function, f"it lacks the annotation of {missing[0]}")
    return {name: hints[name] for name in places}, hints["return"]


def _raw_annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return annotations, of which those that nobody needs at run time may name what exists for type checkers alone."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations  # noqa: PLC0415 - new in 3.14

        return get_annotations(function, format=Format.FORWARDREF)
    return function.__annotations__


def _answer_type(returned: Any) -> Any:
    """Return the part of a return type that pydantic writes; `_NOTHING` where there is none."""
    parts = get_args(returned) if get_origin(returned) in (Union, UnionType) else (returned,)
    kinds = [part for part in parts if not (isinstance(part, type) and issubclass(part, Response))]
    if not kinds or kinds in ([NoneType], [Any]):
        return _NOTHING
    return Union[tuple(kinds)] if len(kinds) > 1 else kinds[0]  # noqa: UP007 - of as many as there are


def _adapter(function: Callable[..., Any], what: str, kind: Any) -> TypeAdapter[Any]:
    if isinstance(kind, TypeAdapter):
        return kind
    try:
        return TypeAdapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise _refused(function, f"its {what}: {str(error).partition(chr(10))[0]}") from None


def _refused(function: Callable[..., Any], reason: str) -> ServiceDefinitionError:
    return ServiceDefinitionError(f"operation {function.__qualname__!r} cannot be: {reason}")
