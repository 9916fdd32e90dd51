"""One outbound call: the attempts at it, until there is an answer or none may come any more."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

import httpx

from lmservice.backoff import Backoff
from lmservice.client.breaker import BreakerState
from lmservice.client.errors import CircuitOpen, DeadlineExceeded
from lmservice.client.hosts import Host
from lmservice.client.passed_on import PassedOn
from lmservice.client.policy import ClientPolicy
from lmservice.client.pool import sweep
from lmservice.client.retry_after import retry_after
from lmservice.telemetry import context

TOO_MANY = 429
CLIENT_ERROR, SERVER_ERROR = 400, 500
CLOCK = 0.001
"""The coarsest that a loop's clock may be, in seconds."""
_OURS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""The errors that are the request's fault, and not the host's."""

_log = logging.getLogger("lmservice.client")


@dataclass(frozen=True)
class CallOptions:
    """How a client's calls are made: what they all have in common.

    Attributes:
        retried: the statuses after which another attempt may follow.
        backoff: how long to wait before it.
        transport: the caller's own, where he has given one.
    """

    http: httpx.AsyncClient
    policy: ClientPolicy
    retried: frozenset[int]
    backoff: Backoff
    transport: httpx.AsyncBaseTransport | None
    max_connections: int


class Call:
    """A request on its way to a host.

    Args:
        options: what it has in common with the client's other calls.
        request: what is sent, the same at each attempt.
        host: what is known of where it goes.
        sending: further arguments of `httpx.AsyncClient.send`.
    """

    __slots__ = (
        "_began", "_deadline", "_has_place", "_host", "_loop", "_method", "_number", "_options", "_passed_on",
        "_request", "_sending", "_span_name",
    )  # fmt: skip

    def __init__(self, options: CallOptions, request: httpx.Request, host: Host, sending: dict[str, Any]) -> None:
        self._options, self._request, self._host, self._sending = options, request, host, sending
        self._method = request.method
        self._span_name = self._method if self._method in host.methods else "HTTP"
        self._number = 0
        self._has_place = False
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._deadline = self._began + options.policy.deadline
        inherited = context.deadline()
        if inherited is not None:  # in seconds of another clock than the loop's may be
            self._deadline = min(self._deadline, self._began + inherited - time.monotonic())
        self._passed_on = PassedOn(request)

    async def answer(self) -> httpx.Response:
        """Return the answer, of the last attempt where there are several.

        Raises:
            DeadlineExceeded: there was none in time.
            CircuitOpen: the host's breaker did not let it through.
            httpx.HTTPError: the last attempt failed.
        """
        while True:
            self._number += 1
            try:
                response = await self._attempt()
            except (CircuitOpen, DeadlineExceeded):
                raise
            except httpx.TransportError as error:
                wait = None if isinstance(error, _OURS) else self._wait_before_next(0.0)
                if wait is None:
                    raise
                why = type(error).__name__
            else:
                if response.status_code not in self._options.retried:
                    return response
                wait = self._wait_after(response)
                if wait is None:
                    return response
                await self.close(response)
                why = str(response.status_code)
            self._log_retry(why, wait)
            await asyncio.sleep(wait)

    async def close(self, response: httpx.Response) -> None:
        """Close an answer that was streamed, and give its connection back."""
        try:
            await response.aclose()
        finally:
            self.give_back_place()

    def give_back_place(self) -> None:
        """Let another call have the connection; may be called again."""
        if self._has_place:
            self._has_place = False
            self._host.places.give_back()

    @property
    def about(self) -> dict[str, str]:
        """Return what log lines say of the call."""
        return {"client": self._host.client, "host": self._host.name, "method": self._method}

    async def _attempt(self) -> httpx.Response:
        """Send the request once, as soon as there is a connection for it; an answer that is streamed keeps that."""
        await self._take_place()
        response = None
        try:
            response = await self._observed_attempt()
        finally:
            if response is None or not self._sending.get("stream"):
                self.give_back_place()
            if response is None and self._options.transport is not None:
                await sweep(self._options.transport)
        return response

    async def _take_place(self) -> None:
        """Wait for a connection that is free, which nobody holds against the host."""
        now = self._loop.time()
        if now >= self._deadline:
            raise self._deadline_exceeded()
        places = self._host.places
        if places.take_at_once():
            self._has_place = True
            self._host.observe_wait(0.0)
            return
        if self._host.breaker.refuses(now):
            raise self._circuit_open(now)
        try:
            async with asyncio.timeout_at(self._deadline) as limit:
                self._has_place = await places.take()
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._no_connection() from None
        finally:
            self._host.observe_wait(self._loop.time() - now)
        if not self._has_place:
            raise self._circuit_open(self._loop.time())

    async def _observed_attempt(self) -> httpx.Response:
        now = self._loop.time()
        if now >= self._deadline:
            raise self._deadline_exceeded()
        host = self._host
        permit = host.breaker.enter(now)
        if permit is None:
            raise self._circuit_open(now)
        if self._number == 1:
            host.budget.earn()
        status, kind, failed = 0, "cancelled", None
        began = time.perf_counter()
        try:
            with context.span(self._span_name, kind="client", attributes=self._attributes()) as span:
                self._passed_on.propagate()
                try:
                    response = await self._send(now)
                except Exception as error:
                    kind, failed = _kind(error), self._failed(error, now)
                    span.fail(kind)
                    raise
                status = response.status_code
                kind, failed = "", status >= SERVER_ERROR
                span.set("http.response.status_code", status)
                if status >= CLIENT_ERROR:
                    kind = str(status)
                    span.fail(kind)
                return response
        finally:
            host.breaker.leave(permit, self._loop.time(), failed=failed)
            host.observe(self._method, status, kind, time.perf_counter() - began)

    async def _send(self, now: float) -> httpx.Response:
        """Send the request once, which takes no longer than an attempt may, and not past the deadline."""
        ends = now + self._options.policy.timeout
        limit = asyncio.timeout_at(min(ends, self._deadline))
        self._passed_on.say_wait(min(ends, self._deadline) - now)
        try:
            async with limit:
                return await self._options.http.send(self._request, **self._sending)
        except TimeoutError:
            if not limit.expired():
                raise
        if self._deadline <= ends:
            raise self._deadline_exceeded()
        limit_said = f"ClientPolicy.timeout, {self._options.policy.timeout:g} s"
        raise httpx.TimeoutException(
            f"{self._method} {self._host.name}: no answer within {limit_said}", request=self._request
        )

    def _failed(self, error: Exception, began: float) -> bool | None:
        """Return whether an error speaks against the host; None where it says nothing of it.

        An attempt that a deadline ended before the policy would have, as the time of the request under way was nearly
        up or earlier attempts had used it, was given no chance.
        """
        if isinstance(error, DeadlineExceeded):
            policy = self._options.policy
            left = self._deadline - began
            return True if left > min(policy.timeout, policy.deadline) - CLOCK else None
        return True if isinstance(error, httpx.TransportError) and not isinstance(error, _OURS) else None

    def _wait_after(self, response: httpx.Response) -> float | None:
        """Return how long to wait before the request is sent again; None where the answer stands."""
        asked = retry_after(response)
        if response.status_code == TOO_MANY and asked is None:
            return None
        return self._wait_before_next(asked or 0.0)

    def _wait_before_next(self, least: float) -> float | None:
        policy, host = self._options.policy, self._host
        if self._number >= policy.attempts or self._options.http.is_closed or not self._may_be_repeated():
            return None
        wait = max(self._options.backoff.wait(self._number), least)
        now = self._loop.time()
        if now + wait >= self._deadline or host.breaker.state is not BreakerState.CLOSED:
            return None
        if not host.budget.spend(now):
            host.count_exhausted()
            return None
        host.count_retry()
        return wait

    def _may_be_repeated(self) -> bool:
        replayable = isinstance(self._request.stream, httpx.ByteStream)
        return replayable and self._method in self._options.policy.retry_methods

    def _attributes(self) -> dict[str, Any]:
        """Return what is known of an attempt before it is made, without what may be secret: query, credentials."""
        path = self._request.url.raw_path.partition(b"?")[0].decode("ascii")
        known = {**self._host.attributes, "http.request.method": self._method, "url.full": self._host.origin + path}
        if self._number > 1:
            known["http.request.resend_count"] = self._number - 1
        return known

    def _log_retry(self, why: str, wait: float) -> None:
        values = {**self.about, "attempt": self._number, "reason": why, "wait": round(wait, 3)}
        _log.info("lmservice.client_retry", extra=values)

    def _deadline_exceeded(self) -> DeadlineExceeded:
        message = f"{self._method} {self._host.name}: no answer within {self._limit()}; attempt {self._number}"
        return DeadlineExceeded(message, request=self._request)

    def _limit(self) -> str:
        own, limit = self._options.policy.deadline, self._deadline - self._began
        if limit > own - CLOCK:
            return f"ClientPolicy.deadline, {own:g} s"
        left = f"{max(0.0, limit):.3g} s"
        return f"the {left} that the request under way had left (ClientPolicy.deadline is {own:g} s)"

    def _no_connection(self) -> DeadlineExceeded:
        limit = f"{self._options.max_connections} (max_connections= of the client)"
        message = f"{self._method} {self._host.name}: no connection of {limit} became free within {self._limit()}"
        return DeadlineExceeded(f"{message}; attempt {self._number}", request=self._request)

    def _circuit_open(self, now: float) -> CircuitOpen:
        breaker, policy = self._host.breaker, self._options.policy
        left = max(0.0, breaker.reopens_in(now))
        half_open = breaker.state is BreakerState.HALF_OPEN
        when = "half-open: one attempt probes it" if half_open else f"open for {left:.3g} s more"
        message = f"{self._method} {self._host.name}: not called, as its circuit breaker is {when}"
        failed = f"ClientPolicy.breaker_failure_ratio, {policy.breaker_failure_ratio:g}, or more of its calls failed"
        waits = f"ClientPolicy.breaker_open is {policy.breaker_open:g} s"
        return CircuitOpen(f"{message}; {failed}; {waits}", request=self._request)


def _kind(error: Exception) -> str:
    """Return the label `error_type`."""
    return "timeout" if isinstance(error, httpx.TimeoutException) else type(error).__name__
