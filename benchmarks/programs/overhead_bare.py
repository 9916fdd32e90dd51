"""The yardstick: starlette and nothing around it, with one route and with a hundred, of which the last is asked for."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def flights(request: Request) -> JSONResponse:
    """Answers with its two path parameters."""
    return JSONResponse({"origin": request.path_params["origin"], "destination": request.path_params["destination"]})


routes = [Route("/flights/{origin}/{destination}", flights)]
many_routes = [*(Route(f"/resources{number}/{{origin}}/{{destination}}", flights) for number in range(99)), *routes]
app = Starlette(routes=routes)
many = Starlette(routes=many_routes)
