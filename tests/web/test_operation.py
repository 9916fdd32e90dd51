"""Endpoints whose annotations are read: what they take, what they answer, what they refuse, over real sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmservice import InvalidRequestError, Service, operation
from lmservice.errors import ServiceDefinitionError
from lmservice.testing import running

pytestmark = pytest.mark.anyio


class Item(BaseModel):
    name: str = Field(min_length=1)
    price: float = Field(gt=0)


class Order(BaseModel):
    items: list[Item]
    note: str | None = None


class Numbered(Order):
    number: int


class OrderPath(BaseModel):
    number: int = Field(ge=1)


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(20, ge=1, le=100)
    tag: list[str] = []


def _known(value: str, info: ValidationInfo) -> str:
    if value not in info.context.cities:  # type: ignore[union-attr]
        raise ValueError("is no city that we know")
    return value


@dataclass(frozen=True)
class Trip:
    to: Annotated[str, AfterValidator(_known)]
    days: int = 1


@operation(status=201)
async def add(_request: Request, body: Order) -> Numbered:
    """Keep an order."""
    return Numbered(number=7, **body.model_dump())


@operation
async def change(_request: Request, path: OrderPath, query: Page, body: Order) -> dict[str, Any]:
    return {"number": path.number, "limit": query.limit, "tag": query.tag, "items": len(body.items)}


@operation
def trip(_request: Request, query: Trip) -> Trip:
    return query


@operation
async def forget(_request: Request, path: OrderPath) -> None:
    """Forget an order."""


@operation
async def bare(_request: Request) -> Order | Response:
    return JSONResponse({"bare": True}, 202)


ROUTES = [
    Route("/orders", add, methods=["POST"]),
    Route("/orders/{number}", change, methods=["PUT"]),
    Route("/orders/{number}", forget, methods=["DELETE"]),
    Route("/trips", trip),
    Route("/bare", bare),
]
service = Service("orders", routes=ROUTES)


@service.startup_job
async def cities() -> set[str]:
    return {"Paris"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with running(service) as orders, httpx.AsyncClient(base_url=orders.url, trust_env=False) as client:
        yield client


GOOD = {"items": [{"name": "apple", "price": 1.5}]}


async def test_a_body_is_read_and_the_answer_written_by_their_types(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", json=GOOD)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {**GOOD, "note": None, "number": 7}


async def test_path_query_and_body_are_read_together(client: httpx.AsyncClient) -> None:
    answer = await client.put("/orders/3?limit=5&tag=a&tag=b", json=GOOD)
    assert answer.json() == {"number": 3, "limit": 5, "tag": ["a", "b"], "items": 1}
    assert (await client.put("/orders/3", json=GOOD)).json()["limit"] == 20


async def test_a_plain_function_and_a_dataclass_will_do_and_validators_see_the_state(client: httpx.AsyncClient) -> None:
    assert (await client.get("/trips?to=Paris&days=3")).json() == {"to": "Paris", "days": 3}
    (error,) = (await client.get("/trips?to=Rome")).json()["errors"]
    assert (error["parameter"], error["detail"]) == ("to", "Value error, is no city that we know")


async def test_nothing_returned_is_204_and_a_response_is_sent_as_it_is(client: httpx.AsyncClient) -> None:
    forgotten = await client.delete("/orders/3")
    assert (forgotten.status_code, forgotten.content) == (204, b"")
    bare = await client.get("/bare")
    assert (bare.status_code, bare.json()) == (202, {"bare": True})


async def test_everything_that_is_wrong_is_told_at_once_as_a_problem_document(client: httpx.AsyncClient) -> None:
    body = {"items": [{"name": "", "price": "dear"}, {"price": 1}]}
    answer = await client.put("/orders/0?limit=many&size=1", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {name: problem[name] for name in ("type", "title", "status")} == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
    }
    assert problem["request_id"] == answer.headers["x-request-id"]
    places = [
        (error["place"], error.get("parameter") or error.get("pointer"), error["code"]) for error in problem["errors"]
    ]
    assert places == [
        ("path", "number", "greater_than_equal"),
        ("query", "limit", "int_parsing"),
        ("query", "size", "extra_forbidden"),
        ("body", "#/items/0/name", "string_too_short"),
        ("body", "#/items/0/price", "float_parsing"),
        ("body", "#/items/1/name", "missing"),
    ]
    assert problem["detail"].startswith("path number: Input should be greater than or equal to 1; query limit: ")
    assert problem["detail"].endswith("and 3 more")
    assert "dear" not in answer.text


async def test_a_parameter_that_is_given_twice_is_refused_unless_it_is_a_list(client: httpx.AsyncClient) -> None:
    answer = await client.put("/orders/1?limit=5&limit=6&tag=a&tag=b", json=GOOD)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"place": "query", "parameter": "limit", "code": "repeated", "detail": "is given 2 times"}
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"not JSON", b'{"items": [', b"\xff\xfe", b'"\\ud800"', b"[" * 10_000])
async def test_a_body_that_is_not_the_type_s_json_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/orders", content=body)
    assert answer.status_code == 422
    assert {error["place"] for error in answer.json()["errors"]} == {"body"}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", "nonsense"])
async def test_a_body_that_says_that_it_is_no_json_is_415(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post("/orders", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"
    assert kind.partition(";")[0] in answer.json()["detail"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
async def test_any_kind_of_json_is_read(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post("/orders", json=GOOD, headers={"content-type": kind})
    assert answer.status_code == 201


async def test_of_many_errors_a_hundred_are_told_and_the_others_counted(client: httpx.AsyncClient) -> None:
    problem = (await client.post("/orders", json={"items": [1] * 250})).json()
    assert (len(problem["errors"]), problem["errors_left_out"]) == (100, 150)
    assert problem["detail"].endswith("and 247 more")


async def test_of_more_errors_than_can_be_written_promptly_only_their_number_is_told(client: httpx.AsyncClient) -> None:
    problem = (await client.post("/orders", json={"items": [1] * 100_000})).json()
    assert (problem["errors"], problem["errors_left_out"]) == ([], 100_000)
    assert problem["detail"] == "100000 errors, too many to name"


async def test_long_names_are_not_repeated_in_full(client: httpx.AsyncClient) -> None:
    problem = (await client.put("/orders/1", params={"x" * 5000: "1"}, json=GOOD)).json()
    assert problem["errors"][0]["parameter"] == "x" * 100 + "…"


async def test_an_author_s_own_handler_gets_the_errors() -> None:
    async def handler(_request: Request, error: Exception) -> Response:
        assert isinstance(error, InvalidRequestError)
        return JSONResponse([error["place"] for error in error.errors], 400)

    own = Service("own", routes=ROUTES, exception_handlers={InvalidRequestError: handler})
    async with running(own) as orders, httpx.AsyncClient(base_url=orders.url, trust_env=False) as client:
        answer = await client.post("/orders", json={})
    assert (answer.status_code, answer.json()) == (400, ["body"])


async def _unknown(request: Request, body: "Nowhere") -> None: ...  # type: ignore[name-defined] # noqa: F821
async def _unannotated(request, body): ...  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
async def _unreturned(request: Request): ...  # type: ignore[no-untyped-def] # noqa: ANN202
async def _other(request: Request, form: Order) -> None: ...
async def _method(self: object, request: Request) -> None: ...
async def _odd(request: Request, body: httpx.AsyncClient) -> None: ...
async def _odd_answer(request: Request) -> httpx.AsyncClient: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (_unknown, "'Nowhere' is not defined"),
        (_unannotated, "annotation of body"),
        (_unreturned, "annotation of return"),
        (_other, "(request, form)"),
        (_method, "(self, request)"),
        (_odd, "AsyncClient"),
        (_odd_answer, "its answer"),
        (Order, "Order"),
    ],
)
def test_what_can_be_no_operation_is_refused_by_its_name(function: Any, named: str) -> None:
    with pytest.raises(ServiceDefinitionError) as raised:
        operation(function)
    assert named in str(raised.value)
    assert function.__name__ in str(raised.value)
