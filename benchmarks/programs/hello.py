# The program of the contract, verbatim: its author annotates as little as it does.
# ruff: noqa: ANN001, ANN201, D100, D101, D103, ARG001
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# fmt: off
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmservice import Service, Settings


class HelloSettings(Settings):
    greeting: str = "hello"                       # env: LM_GREETING


async def hello(request: Request) -> JSONResponse:
    words: dict[str, str] = request.state.dictionary
    return JSONResponse({words["hello"]: request.path_params["name"]})


service = Service("hello", routes=[Route("/hello/{name}", hello)], settings=HelloSettings)


@service.startup_job(timeout=10, attempts=3)
async def dictionary(state) -> dict[str, str]:    # what it returns is request.state.dictionary
    return {"hello": state.settings.greeting}


@service.startup_job(after=["dictionary"])
async def connection(state):                      # an async generator owns its own clean-up
    yield object()                                # after the yield: runs on stop, reverse order
