"""`Service(..., openapi=True)`: the description and its page, as somebody who reads them gets them."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from lmservice import Service, operation
from lmservice.errors import ServiceDefinitionError
from lmservice.testing import running
from lmservice.web.openapi import VERSION

pytestmark = pytest.mark.anyio


class Order(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"


class NewNote(BaseModel):
    """What a client sends."""

    text: str = Field(min_length=1, max_length=1000, description="what is kept")


class Note(NewNote):
    number: int
    replies: list["Note"] = []


class Search(BaseModel):
    contains: str | None = Field(None, description="a part of the text <as it is>")
    order: Order = Order.NEWEST
    limit: int = Field(20, ge=1, le=100)


class Missing(BaseModel):
    nearest: int


class NotePath(BaseModel):
    number: int = Field(ge=1, description="the note's number")


@operation(status=201, problems={503: "The store is full"})
async def add_note(_request: Request, body: NewNote) -> Note:
    """Keep a note.

    It is there at once.

    Args:
        body: the note.
    """
    return Note(number=1, **body.model_dump())


@operation(example={"contains": "milk", "limit": "5"})
async def find_notes(_request: Request, query: Search) -> list[Note]:
    """Find notes."""
    assert query.limit
    return []


@operation(problems={404: ("There is no such note", Missing)}, example={"number": "7"})
async def show_note(_request: Request, path: NotePath) -> Note | Response:
    return JSONResponse({"number": path.number})


@operation
async def version(_request: Request) -> str:
    return "1"


async def plain(_request: Request) -> Response:
    return Response()


ROUTES = [
    Route("/notes", add_note, methods=["POST"]),
    Route("/notes", find_notes),
    Route("/notes/{number}", show_note),
    Mount("/v{major:int}", routes=[Route("/version", version), Route("/also", version)]),
    Route("/plain", plain),
    Route("/hidden", version, include_in_schema=False),
]
service = Service("notes", routes=ROUTES, version="2.1", openapi="Keeps <notes>.")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with running(service) as notes, client_of(notes.url) as client:
        yield client


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False)


@pytest.fixture(scope="module")
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    described: dict[str, Any] = answer.json()
    return described


async def test_it_names_the_service_and_its_version(document: dict[str, Any]) -> None:
    assert document["openapi"] == VERSION
    assert document["info"] == {"title": "notes", "version": "2.1", "description": "Keeps <notes>."}


async def test_every_decorated_endpoint_is_described_and_no_other(document: dict[str, Any]) -> None:
    methods = {path: list(operations) for path, operations in document["paths"].items()}
    assert methods == {
        "/notes": ["post", "get"],
        "/notes/{number}": ["get"],
        "/v{major}/version": ["get"],
        "/v{major}/also": ["get"],
    }
    names = [one["operationId"] for operations in document["paths"].values() for one in operations.values()]
    assert names == ["add_note", "find_notes", "show_note", "version", "version_get"]


async def test_a_docstring_is_the_summary_and_the_description(document: dict[str, Any]) -> None:
    added = document["paths"]["/notes"]["post"]
    assert (added["summary"], added["description"]) == ("Keep a note.", "It is there at once.")
    assert "description" not in document["paths"]["/notes"]["get"]


async def test_parameters_have_their_types_limits_defaults_and_examples(document: dict[str, Any]) -> None:
    contains, order, limit = document["paths"]["/notes"]["get"]["parameters"]
    assert contains == {
        "name": "contains",
        "in": "query",
        "required": False,
        "description": "a part of the text <as it is>",
        "schema": {"type": "string"},
        "example": "milk",
    }
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert order["schema"]["$ref"] == "#/components/schemas/Order"
    (number,) = document["paths"]["/notes/{number}"]["get"]["parameters"]
    assert (number["in"], number["required"], number["schema"]) == ("path", True, {"type": "integer", "minimum": 1})
    (major,) = document["paths"]["/v{major}/version"]["get"]["parameters"]
    assert (major["name"], major["schema"]) == ("major", {"type": "integer", "minimum": 0})


async def test_bodies_and_answers_have_their_types_and_every_problem_its_document(document: dict[str, Any]) -> None:
    added = document["paths"]["/notes"]["post"]
    assert added["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/NewNote"}
    assert set(added["responses"]) == {"201", "415", "422", "503", "default"}
    assert added["responses"]["503"]["headers"]["Retry-After"]["required"] is True
    shown = document["paths"]["/notes/{number}"]["get"]["responses"]
    problem = shown["404"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Missing"}
    assert document["components"]["schemas"]["NewNote"]["properties"]["text"]["maxLength"] == 1000


async def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert references == set(document["components"]["schemas"])
    assert "Search" not in references


async def test_what_is_refused_fits_its_description(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    problem = (await client.post("/notes", json={})).json()
    described = document["components"]["schemas"]["InvalidRequestDocument"]
    assert set(described["required"]) <= set(problem) <= set(described["properties"])
    error = document["components"]["schemas"]["InputErrorDocument"]
    assert all(set(error["required"]) <= set(one) <= set(error["properties"]) for one in problem["errors"])


async def test_the_page_names_everything_and_loads_and_runs_nothing(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    answer = await client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = answer.text
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in page
    for path, operations in document["paths"].items():
        assert f"<code>{path}</code>" in page
        assert all(
            f"<code>{parameter['name']}</code>" in page
            for one in operations.values()
            for parameter in one["parameters"]
        )
    targets = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert all(re.match(r"#|\./|openapi\.json$", target) for target in targets)
    ids = {f"#{name}" for name in re.findall(r'id="([^"]*)"', page)}
    assert {target for target in targets if target.startswith("#")} <= ids
    assert "<script" not in page
    assert "Keeps &lt;notes&gt;." in page
    assert "a part of the text &lt;as it is&gt;" in page
    assert 'href="./notes?contains=milk&amp;limit=5"' in page
    assert 'href="./notes/7"' in page


async def test_under_a_prefix_the_description_says_so() -> None:
    async with running(service, root_path="/shop", version="3") as notes, client_of(notes.url) as client:
        answer = await client.get("/openapi.json")
    assert answer.json()["servers"] == [{"url": "/shop"}]
    assert answer.json()["info"]["version"] == "3"


async def test_an_api_without_operations_is_described_as_empty() -> None:
    async with running(Service("bare", routes=[], openapi=True)) as bare, client_of(bare.url) as client:
        document = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
    assert (document["paths"], document["info"]) == ({}, {"title": "bare", "version": "0"})
    assert "lmservice.operation" in page.text


def test_a_path_parameter_that_the_route_lacks_is_refused_before_the_start() -> None:
    wrong = Service("wrong", routes=[Route("/notes/{id}", show_note)], openapi=True)
    with pytest.raises(ServiceDefinitionError, match=r"'show_note', at /notes/\{id\}, reads 'number'"):
        wrong.check()


def test_a_route_of_the_description_s_own_path_is_refused() -> None:
    with pytest.raises(ServiceDefinitionError, match="/docs"):
        Service("twice", routes=[Route("/docs", plain)], openapi=True)


def test_with_app_there_is_nothing_to_describe() -> None:
    with pytest.raises(ServiceDefinitionError, match="openapi="):
        Service("foreign", app=plain, openapi=True)  # type: ignore[arg-type]


def test_a_service_that_is_not_described_imports_nothing_of_it() -> None:
    program = (
        "import sys; from lmservice import Service; Service('s', routes=[]).check();"
        "print([name for name in sys.modules if name in {'lmservice.web.' + part for part in"
        " ('operation', 'inputs', 'openapi', 'reference', 'description')}])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"
