"""`GET /prices/{item}`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from {{ cookiecutter.__package }}.supplier import Supplier, UnavailableError


async def show_price(request: Request) -> JSONResponse:
    """Asks the supplier; answers 404 where it has no such item, 503 where it does not answer in time."""
    supplier: Supplier = request.state.supplier
    item: str = request.path_params["item"]
    try:
        price = await supplier.price(item)
    except UnavailableError:
        raise HTTPException(503, "prices cannot be had now", {"Retry-After": "1"}) from None
    if price is None:
        raise HTTPException(404, f"there is no price of {item}")
    return JSONResponse({"item": item, "price": price})
