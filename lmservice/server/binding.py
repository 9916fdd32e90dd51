"""The sockets, the service's and the management listener's, bound first thing."""

import contextlib
import socket
from collections.abc import Iterator

from lmservice.errors import BindError
from lmservice.settings.model import Settings
from lmservice.web import sockets


@contextlib.contextmanager
def bound(settings: Settings, *, takes_requests: bool) -> Iterator[tuple[socket.socket | None, socket.socket]]:
    """Bind the service's socket and the management listener's, which are closed at the end.

    The first is None where the service takes no requests.

    Raises:
        BindError: naming the address that cannot be had, and the setting to change.
    """
    with contextlib.ExitStack() as undo:
        if not takes_requests:
            alone = sockets.bind(settings.management_host, settings.management_port, name="LM_MANAGEMENT_")
            undo.callback(alone.close)
            yield None, alone
            return
        pair: list[socket.socket] = []
        for name, host, port in (
            ("LM_", settings.host, settings.port),
            ("LM_MANAGEMENT_", settings.management_host, settings.management_port),
        ):
            if pair and port and port == settings.port and host in ("::", "0.0.0.0", settings.host):
                raise BindError(f"LM_PORT and LM_MANAGEMENT_PORT are both {port}: set one of them to another port")
            sock = sockets.bind(host, port, name=name)
            undo.callback(sock.close)
            pair.append(sock)
        yield pair[0], pair[1]
