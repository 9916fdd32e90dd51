"""The yardstick: starlette and nothing around it."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def flights(request: Request) -> JSONResponse:
    """Answers with its two path parameters."""
    return JSONResponse({"origin": request.path_params["origin"], "destination": request.path_params["destination"]})


routes = [Route("/flights/{origin}/{destination}", flights)]
app = Starlette(routes=routes)
