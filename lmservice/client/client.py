"""`Client`: httpx with a deadline, retries within a budget, a circuit breaker per host, metrics and trace headers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import httpx
from prometheus_client import REGISTRY, CollectorRegistry

from lmservice.backoff import Backoff
from lmservice.client.call import TOO_MANY, Call, CallOptions
from lmservice.client.hosts import Hosts
from lmservice.client.policy import ClientPolicy
from lmservice.errors import ClientDefinitionError, UsageError

if TYPE_CHECKING:
    from httpx._client import UseClientDefault
    from httpx._types import (
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        QueryParamTypes,
        RequestContent,
        RequestData,
        RequestExtensions,
        RequestFiles,
    )


class SendOptions(TypedDict, total=False):
    """How a request is sent, in httpx's words."""

    auth: "AuthTypes | UseClientDefault | None"
    follow_redirects: "bool | UseClientDefault"


class RequestOptions(SendOptions, total=False):
    """What a request is made of, in httpx's words. There is no `timeout`: that is the policy's."""

    content: "RequestContent | None"
    data: "RequestData | None"
    files: "RequestFiles | None"
    json: Any
    params: "QueryParamTypes | None"
    headers: "HeaderTypes | None"
    cookies: "CookieTypes | None"
    extensions: "RequestExtensions | None"


_NEVER = httpx.Timeout(None)  # the policy's times are the clock's, whatever drips meanwhile
_SENDING = frozenset(SendOptions.__annotations__)


class Client:
    """An outbound HTTP client; an async context manager, which may be entered again after it was left.

    A call ends at the deadline of its policy, or of the request under way where that is nearer. It is repeated where
    its method is in `retry_methods` and its body can be sent twice (bytes, forms and JSON; iterators and files are sent
    once), after a connection that failed, an attempt that took too long, or a status in `retry_statuses`; then the
    last answer is returned, or the last of httpx's errors raised.

    To a host's breaker an attempt has failed that ended in a 5xx, without a connection or with a broken one, or at
    `timeout`. A 4xx, a call that was cancelled, and an attempt that a deadline cut short of its `timeout` say nothing
    against the host.

    Calls carry the trace and the request id of the request under way, unless the caller gives his own. As in httpx,
    redirects are not followed unless asked for, and the environment's proxies and netrc are used.

    Args:
        base_url: what the calls' URLs are relative to: `https://api.example/v1`.
        name: the value of the label `client`; default the host. Clients of one name and registry count together.
        policy: how long, how often.
        transport: httpx's, for tests; default its own.
        registry: where the metrics go; default prometheus_client's own.

    Raises:
        ClientDefinitionError: `base_url` is no absolute http URL, or `policy` no `ClientPolicy`.
    """

    def __init__(
        self,
        base_url: str | httpx.URL,
        *,
        name: str | None = None,
        policy: ClientPolicy = ClientPolicy(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        if not isinstance(policy, ClientPolicy):
            raise ClientDefinitionError(f"policy= of a client is {policy!r}: it must be a lmservice.ClientPolicy")
        self._base_url = _checked(base_url)
        self._host_name = self._base_url.netloc.decode("ascii")
        self._policy = policy
        self._transport = transport
        self._name = name or self._host_name
        self._registry = REGISTRY if registry is None else registry
        self._options: CallOptions | None = None
        self._hosts: Hosts

    def __repr__(self) -> str:
        return f"<Client {self._name!r} of {self._host_name}>"

    def report(self) -> list[dict[str, Any]]:
        """Return what is known of each host called: its breaker's state, how attempts went; from any thread."""
        return self._hosts.report() if self._options is not None else []

    async def __aenter__(self) -> Self:
        if self._options is not None:
            raise UsageError(f"{self!r} is open already")
        policy = self._policy
        http = httpx.AsyncClient(base_url=self._base_url, transport=self._transport, timeout=_NEVER)
        await http.__aenter__()
        self._hosts = Hosts(self._name, policy, self._registry)
        backoff = Backoff(policy.backoff_initial, policy.backoff_max)
        self._options = CallOptions(http, policy, frozenset((*policy.retry_statuses, TOO_MANY)), backoff)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        common, self._options = self._options, None
        if common is not None:
            await common.http.__aexit__(kind, error, trace)

    async def request(self, method: str, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call, and return the answer with its body.

        Args:
            method: of HTTP.
            url: relative to the base URL, or absolute.
            options: as `httpx.AsyncClient.request` takes them, but for `timeout`.

        Raises:
            DeadlineExceeded: there was no answer in time.
            CircuitOpen: the host has failed so much lately that it is not called.
            httpx.HTTPError: the last attempt failed.
            UsageError: the client is not open, or `timeout` was given.
        """
        return await self._call(method, url, options, stream=False)

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx.URL | str, **options: Unpack[RequestOptions]
    ) -> AsyncIterator[httpx.Response]:
        """Call, and yield the answer once its head has come; the body is the caller's to read, and closed after.

        Retries and the deadline end with the head. Between two pieces of the body no more than the policy's `timeout`
        may pass.

        Raises:
            DeadlineExceeded: there was no head in time.
            CircuitOpen: the host has failed so much lately that it is not called.
            httpx.HTTPError: the last attempt failed, or the body broke off.
            UsageError: the client is not open.
        """
        response = await self._call(method, url, options, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def get(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by GET, as `request` does."""
        return await self._call("GET", url, options, stream=False)

    async def head(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by HEAD, as `request` does."""
        return await self._call("HEAD", url, options, stream=False)

    async def options(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by OPTIONS, as `request` does."""
        return await self._call("OPTIONS", url, options, stream=False)

    async def post(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by POST, as `request` does."""
        return await self._call("POST", url, options, stream=False)

    async def put(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by PUT, as `request` does."""
        return await self._call("PUT", url, options, stream=False)

    async def patch(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by PATCH, as `request` does."""
        return await self._call("PATCH", url, options, stream=False)

    async def delete(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by DELETE, as `request` does."""
        return await self._call("DELETE", url, options, stream=False)

    async def _call(
        self, method: str, url: httpx.URL | str, options: RequestOptions, *, stream: bool
    ) -> httpx.Response:
        common = self._options
        if common is None:
            raise UsageError(
                f"{self!r} is not open: use it within 'async with', or, where it is a service's, while that runs"
            )
        if "timeout" in options:
            raise UsageError(f"a call of {self!r} takes no timeout=: set ClientPolicy.timeout, or have another client")
        timeout = httpx.Timeout(None, read=common.policy.timeout) if stream else _NEVER
        made: dict[str, Any] = {name: value for name, value in options.items() if name not in _SENDING}
        sending: dict[str, Any] = {name: value for name, value in options.items() if name in _SENDING}
        request = common.http.build_request(method, url, timeout=timeout, **made)
        return await Call(common, request, self._hosts.of(request.url), {"stream": stream, **sending}).answer()


def _checked(base_url: str | httpx.URL) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ClientDefinitionError(f"base_url of a client is {base_url!r}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientDefinitionError(f"base_url of a client is {url!r}: it must be absolute, as https://api.example/v1")
    return url
