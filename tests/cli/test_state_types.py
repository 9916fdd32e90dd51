"""The types that code has for its state, held to the start-up jobs by `lmservice check`."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NotRequired, Protocol, TypedDict

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from lmservice import Service, Settings, operation
from lmservice.cli.state_types import state_findings


class ShopSettings(Settings):
    greeting: str = "hello"


class Engine:
    pass


class PooledEngine(Engine):
    def ping(self) -> None: ...


class Pingable(Protocol):
    def ping(self) -> None: ...


class ShopState(TypedDict):
    settings: ShopSettings
    phrase: str
    database: Engine
    user: NotRequired[str]


class Other(TypedDict):
    cache: str


async def schema(state: Other) -> None: ...


async def greet(request: Request[ShopState]) -> Response:
    return Response(request.state["phrase"])


@operation
async def described(request: Request[ShopState]) -> str:
    return request.state["phrase"]


async def phrase() -> str:
    return "hello"


async def database() -> AsyncIterator[PooledEngine]:
    yield PooledEngine()


def service_of(*jobs: Callable[..., Any], endpoint: Any = greet, settings: type[Settings] = ShopSettings) -> Service:
    service: Service = Service("shop", routes=[Route("/", endpoint)], settings=settings)
    for job in jobs:
        service.startup_job(job)
    return service


def test_a_type_that_agrees_with_the_jobs_is_well() -> None:
    assert state_findings(service_of(phrase, database)) == []


@pytest.mark.parametrize("endpoint", [greet, described])
def test_a_key_that_no_job_gives_is_a_finding_with_the_nearest(endpoint: Any) -> None:
    async def databse() -> AsyncIterator[Engine]:
        yield Engine()

    assert state_findings(service_of(phrase, databse, endpoint=endpoint)) == [
        "ShopState has 'database', which no start-up job gives; did you mean 'databse'?"
    ]


def test_a_job_s_result_of_another_type_is_a_finding() -> None:
    async def phrase() -> bytes:
        return b"hello"

    assert state_findings(service_of(phrase, database)) == [
        "ShopState has 'phrase' as str, and the start-up job 'phrase' gives bytes"
    ]


def test_a_generator_s_yield_is_its_result() -> None:
    async def database() -> AsyncGenerator[str, None]:
        yield "engine"

    (finding,) = state_findings(service_of(phrase, database))
    assert finding == "ShopState has 'database' as Engine, and the start-up job 'database' gives str"


def test_other_settings_than_the_service_s_are_a_finding() -> None:
    (finding,) = state_findings(service_of(phrase, database, settings=Settings))
    assert finding == "ShopState has 'settings' as ShopSettings, and the service's settings are Settings"


def test_a_job_s_own_type_and_a_mounted_route_s_are_compared_too() -> None:
    (finding,) = state_findings(service_of(phrase, database, schema))
    assert finding.startswith("Other has 'cache', which no start-up job gives")
    service: Service = Service("shop", routes=[Mount("/v1", routes=[Route("/", greet)])])
    assert "ShopState has 'phrase'" in "\n".join(state_findings(service))


def test_each_type_is_told_once() -> None:
    service: Service = Service("shop", routes=[Route("/", greet), Route("/again", greet)], settings=ShopSettings)
    service.startup_job(database)
    assert len(state_findings(service)) == 1


@pytest.mark.parametrize(
    ("result", "wanted", "right"),
    [
        (int, float, True),
        (float, int, False),
        (str | None, str, False),
        (str, str | None, True),
        (list[str], Sequence[str], True),
        (list[str], list[int], False),
        (dict[str, int], Mapping[str, int], True),
        (PooledEngine, Pingable, True),
        (Any, str, True),
        (str, object, True),
        (None, str, False),
        (type[Engine], type[Engine], True),
    ],
    ids=str,
)
def test_what_a_type_checker_lets_pass_is_let_pass(result: Any, wanted: Any, *, right: bool) -> None:
    async def thing() -> Any: ...

    thing.__annotations__["return"] = result

    class Kind(TypedDict):
        thing: wanted

    async def endpoint(_request: Any) -> Response:
        return Response()

    endpoint.__annotations__["_request"] = Request[Kind]
    assert (state_findings(service_of(thing, endpoint=endpoint)) == []) == right


STRINGS = """
from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmservice import Service

if TYPE_CHECKING:
    from nowhere import Engine


class ShopState(TypedDict):
    phrase: int
    engine: Engine
    missing: str


async def greet(request: Request[ShopState]) -> Response: ...


service = Service("shop", routes=[Route("/", greet)])


@service.startup_job
async def phrase() -> str:
    return ""


@service.startup_job
async def engine() -> Engine: ...
"""


def test_annotations_that_are_strings_are_read_and_what_only_checkers_see_is_let_pass() -> None:
    module = type(sys)("strings_of_state")
    sys.modules["strings_of_state"] = module
    try:
        exec(compile(STRINGS, "strings_of_state.py", "exec"), module.__dict__)
        findings = state_findings(module.service)
    finally:
        del sys.modules["strings_of_state"]
    assert [finding.partition(",")[0] for finding in findings] == [
        "ShopState has 'missing'",
        "ShopState has 'phrase' as int",
    ]
