"""`POST /notes` and `GET /notes/{number}`."""

from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from {{ cookiecutter.__package }} import store


class Note(BaseModel):
    """What a client sends."""

    text: str = Field(min_length=1, max_length=1000)


async def add_note(request: Request) -> JSONResponse:
    """Keeps a note; answers 201 and where it is, or 422 and what is wrong with it."""
    try:
        note = Note.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise HTTPException(422, f"{where}: {first['msg']}") from None
    number = await store.add(request.state.database, note.text)
    return JSONResponse({"number": number, "text": note.text}, 201, {"Location": f"/notes/{number}"})


async def show_note(request: Request) -> JSONResponse:
    """Gives a note back."""
    number: int = request.path_params["number"]
    text = await store.find(request.state.database, number)
    if text is None:
        raise HTTPException(404, f"there is no note {number}")
    return JSONResponse({"number": number, "text": text})
