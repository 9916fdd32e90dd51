"""Ends requests in the place of their handlers: those whose time is over, and those that a stop cuts off."""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterable
from http import HTTPStatus
from typing import Any, Final

from lmservice.web import deadline
from lmservice.web.exchange import Exchange

RETRY_AFTER: Final = b"1"
"""What a refused client is asked to wait, in seconds."""

_OUTWAITED: Final = "no answer by when the caller said that it would wait no longer"


class Overdue:
    """Ends what takes too long of the requests of one layer.

    Args:
        in_flight: its requests.
        rejected: counts those that are ended, by reason.
        timeout: what a request has until its answer begins, in seconds; 0 is no limit.
    """

    def __init__(self, in_flight: set[Exchange], rejected: Counter[str], timeout: float) -> None:
        self._in_flight, self._rejected, self._timeout = in_flight, rejected, timeout
        self._sending: set[asyncio.Task[None]] = set()

    async def watch(self, exchange: Exchange, expires: float) -> bool:
        """See that a request is answered by when its caller goes; return whether there is any time left for it."""
        left = expires - time.monotonic()
        if left <= 0:
            self._rejected["deadline"] += 1
            await exchange.refuse(HTTPStatus.GATEWAY_TIMEOUT, _OUTWAITED)
            return False
        loop = asyncio.get_running_loop()
        exchange.expiry = loop.call_later(min(left, deadline.LONGEST), self._expire, exchange)
        return True

    def _expire(self, exchange: Exchange) -> None:
        if not exchange.status:
            self._rejected["deadline"] += 1
            self.end(exchange, exchange.refuse(HTTPStatus.GATEWAY_TIMEOUT, _OUTWAITED))

    def end_overdue(self) -> None:
        """End the requests whose answer has not begun in time. To be called every half second or so."""
        if not self._timeout:
            return
        overdue = time.monotonic() - self._timeout
        for exchange in list(self._in_flight):
            if exchange.started < overdue and not exchange.status:
                self._rejected["timeout"] += 1
                detail = f"no answer within LM_REQUEST_TIMEOUT, {self._timeout:g} s"
                self.end(exchange, exchange.refuse(HTTPStatus.GATEWAY_TIMEOUT, detail))

    def cut_off(self, tasks: Iterable[asyncio.Task[Any]], cut_by_route: Counter[str]) -> None:
        """End what is still in flight, and the other tasks that run the app, at the end of the drain."""
        again = [(b"retry-after", RETRY_AFTER), (b"connection", b"close")]
        known = {exchange.task for exchange in self._in_flight}
        for exchange in list(self._in_flight):
            exchange.cut_off = True
            detail = "the service stopped before it could answer"
            self.end(exchange, exchange.refuse(HTTPStatus.SERVICE_UNAVAILABLE, detail, again))
        for task in set(tasks) - known:
            if not task.done():
                task.cancel()
                cut_by_route["(background)"] += 1

    def end(self, exchange: Exchange, refusal: Coroutine[Any, Any, None]) -> None:
        """Answer in the place of a handler, which is cancelled; whether it heeds that makes no difference."""
        exchange.refusing = asyncio.create_task(refusal)
        self._sending.add(exchange.refusing)
        exchange.refusing.add_done_callback(self._sending.discard)
        if exchange.task is not None:
            exchange.task.cancel()
