"""Answers to what no request can be made of, where no layer around the app gives them."""

import random
from typing import Any

from lmservice.web.parsing import Refusal
from lmservice.web.problem import MEDIA_TYPE, problem


async def answer_refused(scope: dict[str, Any], send: Any, _connection: object, refusal: Refusal) -> None:
    """Answer with a problem (RFC 9457)."""
    del scope
    request_id = f"{random.getrandbits(128):032x}"
    body = problem(refusal.status, refusal.detail, request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": int(refusal.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
