"""What a call passes on of what is under way: ids, trace, baggage, and how long an answer is waited for."""

from typing import Final

import httpx

from lmservice.telemetry import context
from lmservice.web.deadline import EXPECTED

_EXPECTED: Final = EXPECTED.decode()


class PassedOn:
    """The header fields that a request gets of these, unless its caller has set them himself."""

    __slots__ = ("_headers", "_own_baggage", "_says_wait", "_traced")

    def __init__(self, request: httpx.Request) -> None:
        headers = self._headers = request.headers
        self._traced = "traceparent" not in headers
        self._own_baggage = "baggage" in headers
        self._says_wait = _EXPECTED not in headers
        under_way = context.request.get()
        if under_way is not None and under_way.request_id and "x-request-id" not in headers:
            headers["X-Request-ID"] = under_way.request_id

    def propagate(self) -> None:
        """Have the trace and the baggage of what is under way go along."""
        if not self._traced:
            return
        for name, value in context.propagation().items():
            if name != "baggage" or not self._own_baggage:
                self._headers[name] = value

    def say_wait(self, seconds: float) -> None:
        """Say how long the attempt's answer is waited for."""
        if self._says_wait:
            self._headers[_EXPECTED] = str(max(1, int(1000 * seconds)))
