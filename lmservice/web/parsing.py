"""What a request's head means: its target, its framing, and what of it is refused.

httptools (llhttp, strict) splits the head into parts and refuses what is malformed; what it lets through and RFC 9112
does not is refused here. Everything is given as bytes, as it came.
"""

import re
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote

_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)([^#]*)")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]*)?")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) +([^ \r\n]+) +HTTP/[0-9]\.[0-9]\r\n")


class Refusal(NamedTuple):
    """Why a request is answered before any app sees it.

    Attributes:
        status: the answer's.
        detail: what is wrong, for whoever sent it.
        reason: under which `lmservice_requests_rejected_total` counts it; '' is under none.
    """

    status: HTTPStatus
    detail: str
    reason: str = ""


class Refused(Exception):  # noqa: N818 - it ends the parser's run, and is no error of ours
    """Stops the parser in the middle of a message, which is refused."""

    def __init__(self, status: HTTPStatus, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.refusal = Refusal(status, detail, reason)


class RequestTarget(NamedTuple):
    """What a request asks for.

    Attributes:
        path: decoded.
        raw_path: as it came.
        query: what follows the `?`, as it came.
        authority: of an absolute form, host and port, which rule over the field `Host`; None elsewhere.
    """

    path: str
    raw_path: bytes
    query: bytes
    authority: bytes | None = None


def target_of(url: bytes, method: str) -> RequestTarget:
    """Return what a request target means, in each of the forms of RFC 9112 §3.2.

    Raises:
        Refused: the form does not go with the method.
    """
    if url[:1] == b"/":
        return _path_and_query(url)
    if url == b"*" and method == "OPTIONS":
        return RequestTarget("*", b"*", b"")
    absolute = _ABSOLUTE.fullmatch(url.partition(b"#")[0])
    if absolute is None or not absolute[1]:
        raise Refused(HTTPStatus.BAD_REQUEST, "the request target is neither a path nor an absolute URL")
    authority = absolute[1].rpartition(b"@")[2]
    if not _HOST.fullmatch(authority):
        raise Refused(HTTPStatus.BAD_REQUEST, "the URL asked for names no host")
    rest = absolute[2]
    path, raw_path, query, _ = _path_and_query(rest if rest[:1] == b"/" else b"/" + rest)
    return RequestTarget(path, raw_path, query, authority)


def method_of(name: bytes) -> str:
    """Return a method as text.

    Raises:
        Refused: it is CONNECT, whatever its target: the parser takes what follows for another protocol's; or SOURCE,
            which is Icecast's, whose protocol the parser reads as well.
    """
    if name == b"CONNECT":
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is for proxies, and this is none")
    if name == b"SOURCE":
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "SOURCE is of Icecast's protocol, and HTTP is spoken here")
    return name.decode("ascii")


def origin_form(url: bytes) -> bytes:
    """Return path and query of a target that is a path or an absolute URL."""
    absolute = _ABSOLUTE.fullmatch(url.partition(b"#")[0])
    if absolute is None:
        return url
    return absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]


def _path_and_query(url: bytes) -> RequestTarget:
    if b"#" in url:
        url = url.partition(b"#")[0]
    raw_path, _, query = url.partition(b"?")
    path = raw_path.decode("ascii")
    return RequestTarget(unquote(path) if "%" in path else path, raw_path, query)


def check_host(fields: dict[bytes, bytes], headers: list[tuple[bytes, bytes]], *, any_host: bool) -> None:
    """Refuse a head of HTTP/1.1 whose `Host` is missing or doubled, or malformed unless `any_host` (RFC 9112 §3.2).

    Raises:
        Refused: with 400.
    """
    count = sum(name == b"host" for name, _ in headers)
    if count != 1:
        raise Refused(HTTPStatus.BAD_REQUEST, f"HTTP/1.1 wants one Host field, and this request has {count or 'none'}")
    if not any_host and not _HOST.fullmatch(fields[b"host"]):
        raise Refused(HTTPStatus.BAD_REQUEST, "the field Host names no host")


def check_transfer_encoding(headers: list[tuple[bytes, bytes]], version: str) -> None:
    """Refuse a transfer coding that is not understood, or cannot be (RFC 9112 §6.1).

    Raises:
        Refused: with 501, or 400 where HTTP/1.0 has one.
    """
    if version == "1.0":
        raise Refused(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding")
    if [value.lower() for name, value in headers if name == b"transfer-encoding"] != [b"chunked"]:
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "of transfer codings, chunked alone is understood, and once")


def check_version(version: str) -> None:
    """Refuse what calls itself another protocol than HTTP/1.0 and HTTP/1.1.

    Raises:
        Refused: with 505.
    """
    if version not in ("1.1", "1.0"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"HTTP/{version} is not spoken here: HTTP/1.1 is")


def unknown_method(data: bytes) -> tuple[str, bytes] | None:
    """Return method and target of a request whose method the parser does not know; None where it is no request."""
    line = _REQUEST_LINE.match(data)
    return (line[1].decode("ascii"), line[2]) if line else None


def offers(fields: dict[bytes, bytes], protocol: bytes) -> bool:
    """Return whether a head whose `Connection` names it offers to upgrade to a protocol (RFC 9110 §7.8)."""
    return protocol in [word.strip().lower() for word in fields.get(b"upgrade", b"").split(b",")]


def framing_head(fields: dict[bytes, bytes], *, keep_alive: bool) -> bytes:
    """Return the least head that has the framing of another, and no offer to upgrade.

    llhttp stops behind a head that offers an upgrade, and takes what follows for another protocol. Where the offer is
    declined, a parser that is given this head goes on with the body.
    """
    lines = [b"POST / HTTP/1.1"]
    lines += [name + b": " + fields[name] for name in (b"content-length", b"transfer-encoding") if name in fields]
    if not keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join((*lines, b"", b""))
