"""The peer that could not be reached: its host and port, which the error itself may not say.

On uvloop a refused connection is `[Errno 111] Connection refused`, and a name that DNS lacks `Name or service not
known`: whose, only the frames that the error came through still know.
"""

import socket
from collections.abc import Iterator
from types import FrameType

_MOST_LINKS = 20
_ADDRESSES = ("addr", "address", "sockaddr")


def missing_address(error: BaseException) -> str:
    """Return ` (host:port)`, of what did not take a connection; '' where the message has it, or none failed."""
    links = list(_links(error))
    if not any(isinstance(link, ConnectionError | socket.gaierror) for link in links):
        return ""
    peers = [peer for link in reversed(links) for peer in _peers(link)]
    if not peers:
        return ""
    port = peers[0][1]
    host = next((host for host, number in peers if number == port and not _is_number(host)), peers[0][0])
    if host in str(error) and str(port) in str(error):
        return ""
    return f" ([{host}]:{port})" if ":" in host else f" ({host}:{port})"


def _is_number(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and those that it came from or that are its parts."""
    links = [error]
    for link in links:
        yield link
        parts = link.exceptions if isinstance(link, BaseExceptionGroup) else ()
        more = [part for part in (link.__cause__, link.__context__, *parts) if part is not None]
        links += [part for part in more if part not in links][: _MOST_LINKS - len(links)]


def _peers(error: BaseException) -> list[tuple[str, int]]:
    """Return each host and port that the frames have which the error came through, the innermost first."""
    peers, trace = [], error.__traceback__
    while trace is not None:
        peer = _address(trace.tb_frame)
        if peer is not None:
            peers.append(peer)
        trace = trace.tb_next
    return peers[::-1]


def _address(frame: FrameType) -> tuple[str, int] | None:
    variables = frame.f_locals
    for address in (*map(variables.get, _ADDRESSES), (variables.get("host"), variables.get("port"))):
        match address:
            case (str(host), int(port), *_) if host and host.isprintable():
                return host, port
    return None
