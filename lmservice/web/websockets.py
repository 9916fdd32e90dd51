"""WebSockets, which uvicorn speaks: its protocol takes a connection over when the first handshake has come.

uvicorn is imported then, and not before. What is used of it is the class that its public option `ws=` names, made and
driven as its own HTTP protocols do.
"""

import asyncio
import contextvars
import importlib.util
import logging
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from lmservice.runtime import lazy_import
from lmservice.web.transport import LingeringTransport

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

LIBRARIES = ("websockets", "wsproto")
"""What uvicorn can speak WebSockets with, the first that is installed."""

_log = logging.getLogger("lmservice.connection")


class WebSockets:
    """The WebSockets of a listener.

    Args:
        app: the ASGI application.
        state: what each handshake's `state` begins as.
        context: what the app's tasks start from.
    """

    def __init__(self, app: Callable[..., Any], state: MutableMapping[str, Any], context: contextvars.Context) -> None:
        self._app, self._state, self._context = app, state, context
        self._config: Config | None = None
        self._server_state: ServerState | None = None
        self._available: bool | None = None

    def available(self) -> bool:
        """Return whether a handshake can be accepted; say so once where it cannot, as no library is installed."""
        if self._available is None:
            self._available = any(importlib.util.find_spec(name) is not None for name in LIBRARIES)
            if not self._available:
                _log.warning("lmservice.no_websockets", extra={"hint": "install lmservice[websockets]"})
        return self._available

    @property
    def connections(self) -> list[Any]:
        """The protocols of those that are open."""
        return list(self._server_state.connections) if self._server_state is not None else []

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that run the app for them."""
        return self._server_state.tasks if self._server_state is not None else set()

    def begin(self, transport: asyncio.Transport, head: bytes) -> None:
        """Let uvicorn answer a handshake; `head` may have the first frames behind it."""
        config = self._config or self._load()
        factory = cast("Callable[..., asyncio.Protocol]", config.ws_protocol_class)
        self._context.copy().run(self._take_over, factory, transport, head)

    def _take_over(self, factory: Callable[..., asyncio.Protocol], transport: asyncio.Transport, head: bytes) -> None:
        protocol = factory(config=self._config, server_state=self._server_state, app_state=self._state)
        protocol.connection_made(cast("asyncio.Transport", LingeringTransport(transport, protocol)))
        transport.set_protocol(protocol)
        protocol.data_received(head)

    def _load(self) -> "Config":
        lazy_import.defer("uvicorn", keep=("uvicorn.config", "Config"))  # its root loads a command line
        from uvicorn.config import Config  # noqa: PLC0415 - see above
        from uvicorn.server import ServerState  # noqa: PLC0415

        config = self._config = Config(
            self._app,
            http=asyncio.Protocol,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        config.load()
        self._server_state = ServerState()
        return config

    def close(self) -> None:
        """Close each with 1012, service restart (RFC 6455's registry)."""
        for connection in self.connections:
            connection.shutdown()

    def abort(self) -> None:
        """Cut what is still open."""
        for connection in self.connections:
            connection.transport.abort()
