"""What a request brings, read into types that pydantic knows: its path, its query and its body.

All three are read before anything is refused, so that a client is told everything that is wrong at once, as a problem
document (RFC 9457) with the member `errors`: the form of each is that of RFC 9457's own example in section 3.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

UNPROCESSABLE: Final = 422
UNSUPPORTED: Final = 415
MOST_TOLD: Final = 100
"""So many errors are told one by one; the others are counted."""
MOST_READ: Final = 1000
"""Of more errors than that none is told but their number: to write them out would hold up every other request."""
LONGEST_NAME: Final = 100
"""Characters of a name that a client made up which are repeated to it."""
_SUMMED: Final = 3

Place = Literal["path", "query", "body"]
PLACES: Final[tuple[Place, ...]] = ("path", "query", "body")


class InputError(TypedDict):
    """One thing that is wrong with a request.

    Attributes:
        place: where: in `path`, `query` or `body`.
        parameter: which parameter of the path or query; missing where it is the combination of several.
        pointer: which value of the body, as a JSON pointer (RFC 6901): `#/items/0/price`; `#` is the whole.
        code: pydantic's name of the error, for programs: `missing`, `int_parsing`.
        detail: the same for people. What the client sent is not repeated, as it may be a secret.
    """

    place: Place
    parameter: NotRequired[str]
    pointer: NotRequired[str]
    code: str
    detail: str


class InvalidRequestError(HTTPException):
    """A request whose path, query or body is not what the endpoint reads; answered with 422.

    Attributes:
        errors: everything that is wrong with it, or the first hundred things.
        left_out: how many more there are.
    """

    def __init__(self, errors: list[InputError], left_out: int = 0) -> None:
        self.errors, self.left_out = errors, left_out
        summed = [f"{_named(error)}: {error['detail']}" for error in errors[:_SUMMED]]
        more = len(errors) - len(summed) + left_out
        rest = f"and {more} more" if summed else f"{more} errors, too many to name"
        super().__init__(UNPROCESSABLE, "; ".join([*summed, *([rest] if more else [])]))

    @property
    def members(self) -> dict[str, Any]:
        """Return what the problem document has beside what every one has."""
        return {"errors": self.errors, **({"errors_left_out": self.left_out} if self.left_out else {})}


class Inputs:
    """The types that an endpoint reads, by the place where each is read."""

    def __init__(self, adapters: Mapping[Place, TypeAdapter[Any]]) -> None:
        self.adapters = adapters
        query = adapters["query"].json_schema() if "query" in adapters else {}
        properties: Mapping[str, Any] = query.get("properties", {})
        self._lists = frozenset(name for name, schema in properties.items() if _is_list(schema))

    async def read(self, request: Request[Any]) -> dict[str, Any]:
        """Return the values by their places; validators find `request.state` as their context.

        Raises:
            InvalidRequestError: with everything that is wrong.
            HTTPException: 415, where the body says that it is no JSON.
        """
        values: dict[str, Any] = {}
        errors: list[InputError] = []
        left_out = 0
        for place, adapter in self.adapters.items():
            if place == "query":
                errors += self._repeated(request)
            try:
                values[place] = await self._value(place, adapter, request)
            except ValidationError as error:
                errors += _errors(place, error)
                left_out += error.error_count() if error.error_count() > MOST_READ else 0
        if errors or left_out:
            raise InvalidRequestError(errors[:MOST_TOLD], left_out + len(errors[MOST_TOLD:]))
        return values

    async def _value(self, place: Place, adapter: TypeAdapter[Any], request: Request[Any]) -> Any:
        if place == "path":
            return adapter.validate_python(request.path_params, context=request.state)
        if place == "query":
            query = request.query_params
            values = {name: query.getlist(name) if name in self._lists else query[name] for name in query}
            return adapter.validate_python(values, context=request.state)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise HTTPException(UNSUPPORTED, f"the body must be application/json, not {_shortened(kind)}")
        return adapter.validate_json(await request.body(), context=request.state)

    def _repeated(self, request: Request[Any]) -> Iterator[InputError]:
        query = request.query_params
        for name in query if len(query) < len(query.multi_items()) else ():
            count = len(query.getlist(name))
            if count > 1 and name not in self._lists:
                times = f"is given {count} times"
                yield {"place": "query", "parameter": _shortened(name), "code": "repeated", "detail": times}


def _is_list(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "array" or any(choice.get("type") == "array" for choice in schema.get("anyOf", ()))


def _errors(place: Place, error: ValidationError) -> Iterator[InputError]:
    if error.error_count() > MOST_READ:
        return
    for line in error.errors(include_url=False, include_input=False, include_context=False):
        where = _where(place, line["loc"])
        yield {"place": place, **where, "code": line["type"], "detail": line["msg"]}  # type: ignore[typeddict-item]


def _where(place: Place, location: tuple[int | str, ...]) -> dict[str, str]:
    if place == "body":
        parts = (_shortened(str(part)).replace("~", "~0").replace("/", "~1") for part in location)
        return {"pointer": "".join(["#", *(f"/{part}" for part in parts)])}
    return {"parameter": _shortened(".".join(map(str, location)))} if location else {}


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"


def _named(error: InputError) -> str:
    return " ".join((error["place"], error.get("parameter") or error.get("pointer", ""))).strip()
