"""Listening sockets: bound first thing, opened when ready, closed without losing a queued connection."""

import asyncio
import errno
import fcntl
import socket
import struct

from lmservice.errors import BindError

SO_BINDTOIFINDEX = 62  # Linux ≥ 5.1; not in the socket module
NO_INTERFACE = 0x7FFFFFFF
FIONREAD = 0x541B  # termios has it, a module that nothing else here needs
TIOCOUTQ = 0x5411  # of termios as well
SO_ATTACH_FILTER = 26  # not in the socket module either
_DROP_NEW = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that holds its flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK of it
    (0x15, 0, 1, 0x02),  # unless SYN alone is set, go past the next
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep
)
_TCP_INFO_UNACKED = 24  # offset of tcpi_unacked in struct tcp_info: for a listener, the length of its accept queue


def bind(host: str, port: int, *, name: str) -> socket.socket:
    """Binds, but does not listen: until `allow_sharing` and `listen`, connections are refused.

    `::` is dual-stack, and means `0.0.0.0` on a machine without IPv6. `name` is the setting's prefix, for errors:
    `LM_` or `LM_MANAGEMENT_`.

    Raises:
        BindError: naming the address, what is wrong with it, and the setting to change.
    """
    if host == "::" and not _has_ipv6():
        host = "0.0.0.0"
    try:
        name_bytes = host.encode("ascii" if host.isascii() else "idna")  # as text, it would load the codec for any host
        family, kind, protocol, _, address = socket.getaddrinfo(
            name_bytes, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise BindError(f"{name}HOST: {host!r} is no address and no name that resolves here: change it") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over the last run's TIME_WAIT
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind(address)
        # Two bound sockets that both allow reuse may share a port until one listens: this one does not allow it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        sock.settimeout(0)
    except OSError as error:
        sock.close()
        raise BindError(_bind_problem(error, host, port, name)) from None
    return sock


def _bind_problem(error: OSError, host: str, port: int, name: str) -> str:
    where = f"port {port} on {host}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use: stop what listens there, or set {name}PORT (0 picks a free one)"
        case errno.EACCES:
            return f"{where} needs privileges: set {name}PORT to 1024 or more"
        case errno.EADDRNOTAVAIL:
            return f"{name}HOST: {host} is not an address of this machine: set {name}HOST to one that is"
        case _:
            return f"{where} cannot be bound ({error.strerror}): set {name}HOST and {name}PORT to an address that can"


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def allow_sharing(sock: socket.socket) -> None:
    """Let the sockets accepted from now on be no obstacle, in TIME_WAIT, to the next run. Before `listen`."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def url(sock: socket.socket) -> str:
    """Return the address that a socket is bound to: `http://0.0.0.0:8081`."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local(url: str) -> str:
    """Return a listener's address as a browser on this machine asks for it: `localhost` for every address."""
    return url.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")


def refuse_new(sock: socket.socket) -> bool:
    """Make a listener refuse new connections while those in its queue can still be accepted.

    Bound to an interface that does not exist, no SYN matches the listener any more. Where that cannot be had, a filter
    drops every SYN before it is looked at: new clients wait a second, then are refused. Neither needs privileges; false
    where the system can do neither.
    """
    for refuse in (_bind_to_no_interface, _drop_new):
        try:
            refuse(sock)
        except OSError:
            continue
        return True
    return False


def _bind_to_no_interface(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE)


def _drop_new(sock: socket.socket) -> None:
    """Attach a classic BPF program that keeps each segment but a SYN without ACK."""
    from array import array  # noqa: PLC0415 - for the few systems that come here

    program = array("B", b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_NEW))
    address, _ = program.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(_DROP_NEW), address))


def queue_length(sock: socket.socket) -> int:
    """Return how many connections wait to be accepted; 0 where the system does not say."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int(struct.unpack_from("I", info, _TCP_INFO_UNACKED)[0])
    except (OSError, AttributeError, struct.error):
        return 0


def unread(sock: socket.socket) -> int:
    """Return how many bytes have arrived and have not been read."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), FIONREAD, b"\0" * 4))[0])
    except (OSError, ValueError):  # closed meanwhile
        return 0


def unsent(sock: socket.socket) -> int:
    """Return how many bytes the kernel holds that the other end has not acknowledged; 0 where it does not say."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), TIOCOUTQ, b"\0" * 4))[0])
    except (OSError, ValueError):
        return 0


Address = tuple[str, int]


def addresses(transport: asyncio.Transport) -> tuple[Address | None, Address | None]:
    """Return host and port of the other end and of this one; None for an end that has gone already."""
    return _address(transport, "peername"), _address(transport, "sockname")


def _address(transport: asyncio.Transport, name: str) -> Address | None:
    try:
        address = transport.get_extra_info(name)
    except OSError:
        return None
    return (address[0], address[1]) if isinstance(address, tuple) else None
