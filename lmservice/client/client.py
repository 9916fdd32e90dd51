"""`Client`: httpx with a deadline, retries within a budget, a circuit breaker per host, metrics and trace headers."""

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import httpx
from prometheus_client import CollectorRegistry

from lmservice.backoff import Backoff
from lmservice.client.call import TOO_MANY, Call, CallOptions
from lmservice.client.hosts import Hosts
from lmservice.client.policy import ClientPolicy
from lmservice.client.pool import own_limit
from lmservice.client.proxies import environment_transport
from lmservice.client.streaming import Streams
from lmservice.errors import ClientDefinitionError, UsageError
from lmservice.settings.declared import shown, value_of
from lmservice.telemetry.metrics import current_registry

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

MAX_CONNECTIONS = 500
"""The calls to one host at once, unless a client is given another number."""


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
    redirects are not followed unless asked for, and the environment's proxies and netrc are used. Unlike there, cookies
    of answers are not kept, as they would go out with the calls that are made for somebody else.

    Args:
        base_url: what the calls' URLs are relative to: `https://api.example/v1`. For a service's own client it may be
            a function of the settings.
        name: the value of the label `client`; default the host. Clients of one name and registry count together.
        policy: how long, how often.
        transport: httpx's, for tests; default its own.
        registry: where the metrics go; default that of the service in whose context the client is opened, else
            prometheus_client's own.
        max_connections: how many calls to one host are under way at once, each of which has a connection of its own.
            Others wait for their turn within their deadline; that time is never held against the host.
        keep_cookies: whether a cookie that an answer sets goes out with the calls that follow, whoever makes them.

    Raises:
        ClientDefinitionError: `base_url` is no absolute http URL, `policy` no `ClientPolicy`, or `max_connections`
            below 1; on opening, that HTTP_PROXY or its kind is no address of a proxy.
    """

    def __init__(
        self,
        base_url: str | httpx.URL | Callable[[Any], object],
        *,
        name: str | None = None,
        policy: ClientPolicy = ClientPolicy(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
        registry: CollectorRegistry | None = None,
        max_connections: int = MAX_CONNECTIONS,
        keep_cookies: bool = False,
    ) -> None:
        if type(max_connections) is not int or max_connections < 1:
            wrong = f"max_connections= of a client is {max_connections!r}"
            raise ClientDefinitionError(f"{wrong}: it must be a whole number, at least 1")
        if not isinstance(policy, ClientPolicy):
            raise ClientDefinitionError(f"policy= of a client is {policy!r}: it must be a lmservice.ClientPolicy")
        self._declared, self._given_name = base_url, name
        self._base_url = httpx.URL() if callable(base_url) else _checked(base_url)
        self._policy = policy
        self._transport = transport
        self._registry = registry
        self._streams = Streams()
        self._max_connections, self._keep_cookies = max_connections, keep_cookies
        self._options: CallOptions | None = None
        self._hosts: Hosts

    @property
    def _host_name(self) -> str:
        return self._base_url.netloc.decode("ascii") or "the settings"

    @property
    def _name(self) -> str:
        return self._given_name or self._host_name

    def __repr__(self) -> str:
        return f"<Client {self._name!r} of {self._host_name}>"

    def configure(self, settings: object) -> None:
        """Read the base URL from the settings of the service, where it is a function of them.

        Raises:
            ServiceDefinitionError: the function raised.
            ClientDefinitionError: it gives no absolute http URL.
        """
        if callable(self._declared):
            label = f"base_url of client {self._given_name!r}" if self._given_name else "base_url of a client"
            value = value_of(self._declared, settings, label)
            self._base_url = _of_settings(value, f"{label}, a function of the settings, gives {shown(value)}")

    def report(self) -> list[dict[str, Any]]:
        """Return what is known of each host called: its breaker's state, how attempts went; from any thread."""
        return self._hosts.report() if self._options is not None else []

    async def __aenter__(self) -> Self:
        if self._options is not None:
            raise UsageError(f"{self!r} is open already")
        if not self._base_url.host:
            raise UsageError("base_url of a client is a function of the settings: declare it by service.client(...)")
        policy, registry = self._policy, self._registry
        transport = environment_transport() if self._transport is None else self._transport
        http = httpx.AsyncClient(base_url=self._base_url, transport=transport, timeout=_NEVER)
        if not self._keep_cookies:
            http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        await http.__aenter__()
        limit = min(self._max_connections, own_limit(self._transport) or self._max_connections)
        self._hosts = Hosts(self._name, policy, current_registry() if registry is None else registry, limit)
        backoff = Backoff(policy.backoff_initial, policy.backoff_max)
        retried = frozenset((*policy.retry_statuses, TOO_MANY))
        self._options = CallOptions(http, policy, retried, backoff, self._transport, limit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        common, self._options = self._options, None
        if common is not None:
            self._streams.tell_open_ones()
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
        return await self._call(method, url, options)

    def stream(
        self, method: str, url: httpx.URL | str, **options: Unpack[RequestOptions]
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Call, and yield the answer once its head has come; the body is the caller's to read, and closed after.

        Retries and the deadline end with the head. Between two pieces of the body no more than the policy's `timeout`
        may pass.

        Raises:
            DeadlineExceeded: there was no head in time.
            CircuitOpen: the host has failed so much lately that it is not called.
            httpx.HTTPError: the last attempt failed, or the body broke off.
            UsageError: the client is not open.
        """
        caller = sys._getframe(1)  # noqa: SLF001 - names who forgets to close the answer
        place = f"{caller.f_code.co_filename}:{caller.f_lineno} in {caller.f_code.co_qualname}"
        return self._streams.begin(partial(self._made, method, url, options, stream=True), place)

    async def get(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by GET, as `request` does."""
        return await self._call("GET", url, options)

    async def head(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by HEAD, as `request` does."""
        return await self._call("HEAD", url, options)

    async def options(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by OPTIONS, as `request` does."""
        return await self._call("OPTIONS", url, options)

    async def post(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by POST, as `request` does."""
        return await self._call("POST", url, options)

    async def put(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by PUT, as `request` does."""
        return await self._call("PUT", url, options)

    async def patch(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by PATCH, as `request` does."""
        return await self._call("PATCH", url, options)

    async def delete(self, url: httpx.URL | str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Call by DELETE, as `request` does."""
        return await self._call("DELETE", url, options)

    async def _call(self, method: str, url: httpx.URL | str, options: RequestOptions) -> httpx.Response:
        return await self._made(method, url, options, stream=False).answer()

    def _made(self, method: str, url: httpx.URL | str, options: RequestOptions, *, stream: bool) -> Call:
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
        return Call(common, request, self._hosts.of(request.url), {"stream": stream, **sending})


def _of_settings(value: object, label: str) -> httpx.URL:
    try:
        url = httpx.URL(value if isinstance(value, httpx.URL) else str(value))
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientDefinitionError(f"{label}: it must be absolute, as https://api.example/v1")
    return url


def _checked(base_url: str | httpx.URL) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ClientDefinitionError(f"base_url of a client is {base_url!r}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientDefinitionError(f"base_url of a client is {url!r}: it must be absolute, as https://api.example/v1")
    return url
