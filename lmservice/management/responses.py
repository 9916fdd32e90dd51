"""The forms in which the management listener answers: JSON, a problem (RFC 9457), a body in chunks."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lmservice.web.problem import problem


class Chunks(Response):
    """A response whose body is sent as it was made, in chunks."""

    def __init__(self, chunks: Sequence[bytes], headers: Mapping[str, str]) -> None:
        length = str(sum(map(len, chunks)))
        super().__init__(headers={**headers, "content-length": length})
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the chunks, one after another."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def missing(path: str) -> Response:
    """Answer 404, saying where the endpoints are listed."""
    return refusal(404, f"there is no {path} here; GET / lists what there is")


def accepts_gzip(header: str) -> bool:
    """Return whether `gzip` is among what a client accepts, and not with a weight of 0 (RFC 9110 §12.5.3)."""
    for entry in header.lower().split(","):
        coding, _, weight = entry.replace(" ", "").partition(";")
        if coding == "gzip":
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def as_json(body: Any, status: int = 200) -> Response:
    """Answer with an object as JSON; what JSON does not know is text."""
    return Response(to_json(body, fallback=str, inf_nan_mode="strings"), status, media_type="application/json")


def refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with a problem, as RFC 9457 has it: what is wrong is `detail`."""
    return Response(
        problem(status, detail, f"{random.getrandbits(128):032x}"), status, headers, "application/problem+json"
    )
