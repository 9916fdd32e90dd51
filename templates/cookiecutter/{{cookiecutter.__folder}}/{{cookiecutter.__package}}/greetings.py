"""`GET /greetings/{name}`."""

from starlette.requests import Request
from starlette.responses import JSONResponse


async def greet(request: Request) -> JSONResponse:
    """Greets whoever the path names."""
    phrase: str = request.state.phrase
    return JSONResponse({"greeting": f"{phrase} {request.path_params['name']}"})
