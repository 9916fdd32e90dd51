"""Static files: read from the package once, and kept by browsers until they change.

An address holds a digest of its file, so an answer never changes and is kept for a year. While a release is under way,
a page of one version may ask an instance of another: it gets the file that there is, which nobody keeps.
"""

from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

TYPES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
KEPT = "public, max-age=31536000, immutable"
NOT_KEPT = "no-store"


class Asset(NamedTuple):
    """A static file."""

    content: bytes
    media_type: str
    digest: str


@cache
def asset(name: str) -> Asset:
    """The file of the package.

    Raises:
        KeyError: there is none of that name.
    """
    media_type = TYPES[name]
    content = files(__package__).joinpath("static", name).read_bytes()
    return Asset(content, media_type, blake2b(content, digest_size=6).hexdigest())


def address(name: str) -> str:
    """Where the page finds a file."""
    return f"/static/{asset(name).digest}/{name}"


async def serve(request: Request) -> Response:
    """`GET /static/{digest}/{name}`: the file."""
    try:
        found = asset(request.path_params["name"])
    except KeyError:
        raise HTTPException(404) from None
    kept = KEPT if request.path_params["digest"] == found.digest else NOT_KEPT
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(found.content, media_type=found.media_type, headers=headers)
