"""`Service(..., openapi=True)`: the routes that serve an app's description, for programs and for people.

The description is made when somebody first asks for it, or `lmservice check` does.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from lmservice.errors import ServiceDefinitionError
from lmservice.web import openapi, reference

DOCUMENT: Final = "/openapi.json"
PAGE: Final = "/docs"


class Description:
    """What an app's endpoints read and answer, in OpenAPI and as a page.

    Args:
        title: the service's name.
        version: of the code; `LM_VERSION` where that is set.
        about: what the service is for.
        routes: the app's.

    Raises:
        ServiceDefinitionError: a route of the app has the path of one of the description's.
    """

    def __init__(self, title: str, version: str, about: str, routes: Sequence[BaseRoute]) -> None:
        self._title, self._version, self._about, self._described = title, version, about, list(routes)
        for path in (DOCUMENT, PAGE):
            if any(getattr(route, "path", None) == path for route in routes):
                raise ServiceDefinitionError(
                    f"openapi= of service {title!r} serves {path} itself: give the route another"
                )
        self.routes = [Route(DOCUMENT, self._document), Route(PAGE, self._page)]

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return the description.

        Raises:
            ServiceDefinitionError: an endpoint and its route do not agree.
        """
        return openapi.document(self._operations, self._title, self._version, self._about)

    @cached_property
    def _operations(self) -> list[openapi.Described]:
        return openapi.described(self._described)

    @cached_property
    def _html(self) -> str:
        return reference.page(self.document, {one.name: one.link for one in self._operations})

    async def _document(self, request: Request) -> Response:
        version = getattr(getattr(request.state, "settings", None), "version", "")
        root = request.scope.get("root_path", "")
        info = {**self.document["info"], **({"version": version} if version else {})}
        servers = {"servers": [{"url": root}]} if root else {}
        return Response(to_json({**self.document, "info": info, **servers}), media_type="application/json")

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse(self._html, headers={"Content-Security-Policy": reference.POLICY})
