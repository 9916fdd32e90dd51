"""What comes in on a connection: httptools' callbacks, which make requests of it."""

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lmservice.web import head_size, parsing
from lmservice.web.cycle import BODY_HELD, Cycle
from lmservice.web.parsing import Refusal, Refused

if TYPE_CHECKING:
    from lmservice.web.connection import HttpConnection

SLICE: Final = 16_384
"""So many bytes are parsed at once, in case they are many small requests, …"""
MOST_WAITING: Final = 16
"""… of which so many wait for their turn before the rest waits unparsed."""
MOST_FRAMING: Final = 16
"""So many times its own size a body in chunks may take on the wire, beyond the size of a head."""
_SHOWN: Final = 1024
"""So much of the target of a refused request is logged, in bytes."""
_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
_OWS: Final = b" \t"
_methods: Final[dict[bytes, str]] = {}

_log = logging.getLogger("lmservice.connection")


class Intake:
    """Parses what comes on a connection, and gives it its requests.

    Attributes:
        in_head: whether part of a request's head has come, and not all.
        reading: the request whose body is coming.
        rest: what has come and waits unparsed, until the requests before it are answered.
        over: whether no further request is taken: the client said so, or broke the rules.
    """

    __slots__ = (
        "_answered", "_careful", "_connection", "_declined", "_framing", "_handshake", "_head_size", "_headers",
        "_hosts", "_last", "_later", "_limit", "_most", "_parser", "_replaying", "_url", "in_head", "over", "reading",
        "rest",
    )  # fmt: skip

    def __init__(self, connection: "HttpConnection") -> None:
        self._connection = connection
        self._parser = HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._framing = 0
        self._answered = 0
        self._limit = connection.listener.limits.head_size
        self._hosts = connection.listener.hosts
        self._most = connection.listener.limits.headers
        self._careful = self._last = self._replaying = False
        self._declined: Cycle | None = None
        self._handshake = False
        self._later: bytes | memoryview = b""
        self.in_head = self.over = False
        self.reading: Cycle | None = None
        self.rest: bytes | memoryview = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Parse what has come."""
        if len(data) > SLICE or self.over:
            self._feed_in_slices(data)
            return
        limit = self._limit
        size = self._head_size + len(data)
        self._careful = size > limit
        reading, answered = self.reading, self._answered
        upgraded_at = 0
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            upgraded_at = upgrade.args[0]
        except HttpParserError as error:
            self._fail(error, data, alone=reading is None and answered == self._answered)
            return
        if upgraded_at:
            self._upgrade(bytes(data[upgraded_at:]))
        elif self.in_head:
            alone = self._head_size or (reading is None and answered == self._answered)
            self._head_size = size if alone else head_size.of("GET", self._url, self._headers)
            try:
                head_size.check_partial(self._head_size, self._url, self._headers, self._connection.listener.limits)
            except Refused as refused:
                self._give_up(refused.refusal)
        elif self.reading is not None and b"transfer-encoding" in self.reading.fields:
            self._framing += len(data)
            if self._framing > limit:
                self._give_up(Refusal(HTTPStatus.BAD_REQUEST, "the body is mostly framing: send it in larger chunks"))

    def _feed_in_slices(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for begin in range(0, len(view), SLICE):
            if self.over:
                return
            if len(self._connection.pipeline) >= MOST_WAITING:
                self.rest = view[begin:]
                return
            self._later = view[begin + SLICE :]
            self.feed(view[begin : begin + SLICE])
            self._later = b""

    def feed_rest(self) -> None:
        """Parse what has waited."""
        rest, self.rest = self.rest, b""
        self.feed(rest)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a head."""
        self.in_head = True
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url = self._url + url if self._url else url
        if self._careful and len(self._url) > self._limit:
            raise head_size.line_too_long(self._limit)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; a trailer's is dropped, as nobody asks for one (RFC 9110 §6.5)."""
        if self.in_head:
            self._headers.append((name.lower(), value.rstrip(_OWS)))

    def on_headers_complete(self) -> None:
        """Make a request of a head."""
        self.in_head = False
        self._head_size = 0
        if self._replaying:
            self._replaying = False
            return
        headers, parser = self._headers, self._parser
        fields = dict(headers)
        name = parser.get_method()
        method = _methods.get(name) or _methods.setdefault(name, parsing.method_of(name))
        if self._careful or len(headers) > self._most:
            head_size.check_whole(method, self._url, headers, self._connection.listener.limits)
        keep_alive: bool = parser.should_keep_alive()
        self._last = not keep_alive
        version = "1.1" if keep_alive and b"connection" not in fields else parser.get_http_version()
        if version != "1.1" or len(fields) != len(headers) or fields.get(b"host") not in self._hosts:
            self._check_host(version, fields)
        if b"transfer-encoding" in fields:
            parsing.check_transfer_encoding(headers, version)
            self._framing = 0
        connection = self._connection
        listener = connection.listener
        if listener.admission.pressed and listener.turned_away.turns_away(connection, method, self._url, fields):
            if self._last:
                connection.close()
            return
        cycle = Cycle(connection, self._scope(method, version), fields)
        if not keep_alive or version == "1.0":
            cycle.keep_alive, cycle.old = False, version == "1.0"
        if b"expect" in fields:
            cycle.expects = version == "1.1" and fields[b"expect"].lower() == b"100-continue"
        if b"upgrade" not in fields or not parser.should_upgrade() or not self._begins_websocket(cycle):
            self.reading = cycle
            self._connection.take(cycle)

    def _scope(self, method: str, version: str) -> dict[str, Any]:
        connection, url, headers = self._connection, self._url, self._headers
        if url[:1] == b"/" and b"%" not in url and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
            path = raw_path.decode("ascii")
        else:
            path, raw_path, query, authority = parsing.target_of(url, method)
            if authority is not None:  # which rules over the field Host (RFC 9112 §3.2.2)
                headers = [(b"host", authority), *(field for field in headers if field[0] != b"host")]
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": connection.server,
            "client": connection.client,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": connection.listener.state.copy(),
        }

    def _check_host(self, version: str, fields: dict[bytes, bytes]) -> None:
        """Refuse what calls itself another version, and HTTP/1.1 without one host."""
        if version != "1.1":
            parsing.check_version(version)
            return
        listener = self._connection.listener
        parsing.check_host(fields, self._headers, any_host=listener.any_host)
        listener.remember_host(fields[b"host"])

    def _begins_websocket(self, cycle: Cycle) -> bool:
        """Return whether a request that offers an upgrade becomes a WebSocket; else it is served as it is."""
        websockets = self._connection.listener.websockets
        if cycle.old or cycle.scope["method"] != "GET" or websockets is None:
            asked = False
        else:
            asked = parsing.offers(cycle.fields, b"websocket") and websockets.available()
        if asked:
            self._handshake = True
        else:
            self._declined = cycle
        return asked

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        cycle = self.reading
        if cycle is None:
            return
        self._framing -= MOST_FRAMING * len(body)
        if not cycle.complete:
            cycle.feed(body)
            if cycle.held > BODY_HELD:
                self._connection.pause_reading()

    def on_message_complete(self) -> None:
        """End a request, unless what follows the head is still to be looked at."""
        if self._declined is not None or self._handshake:
            return
        self._answered += 1
        self.over = self._last
        cycle, self.reading = self.reading, None
        if cycle is not None:
            cycle.more_body = False
            if cycle.waiting is not None:
                cycle.waiting.set()
            if cycle.complete:
                self._connection.rest_has_come()

    # What is out of the ordinary.

    def _upgrade(self, rest: bytes) -> None:
        """Hand a WebSocket over; decline any other offer, and go on with the request as it is (RFC 9110 §7.8)."""
        if self._handshake:
            self.over = True
            lines = [b"GET %b HTTP/1.1" % parsing.origin_form(self._url)]
            lines += [name + b": " + value for name, value in self._headers]
            self._connection.begin_websocket(b"\r\n".join((*lines, b"", rest + self._later)))
            return
        declined, self._declined = self._declined, None
        self._parser = HttpRequestParser(self)
        self._replaying = True
        keep = self._last
        if declined is not None:
            self._parser.feed_data(parsing.framing_head(declined.fields, keep_alive=not keep))
        if rest:
            self.feed(rest)

    def _fail(self, error: HttpParserError, data: bytes | memoryview, *, alone: bool) -> None:
        """Refuse what the parser cannot go on with."""
        if self.over:
            return  # bytes behind a request that said it was the last: nobody asked for them
        cause = error.__context__
        if isinstance(cause, Refused):
            self._give_up(cause.refusal)
            return
        if cause is not None:
            _log.error("a request's head could not be read", exc_info=cause)
        unknown = parsing.unknown_method(bytes(data[:_SHOWN])) if self.in_head and alone else None
        if unknown is not None and "method" in str(error):
            method, self._url = unknown
            detail = f"the method {method} is not known here"
            self._give_up(Refusal(HTTPStatus.NOT_IMPLEMENTED, detail), method)
        else:
            self._give_up(Refusal(HTTPStatus.BAD_REQUEST, f"this is no request of HTTP/1.1: {error}"))

    def _give_up(self, refusal: Refusal, method: str | None = None) -> None:
        """Take no more, and answer why: in the place of the app, or of the rest of the body that it reads."""
        self.over, self.in_head = True, False
        cycle, self.reading = self.reading, None
        if cycle is not None and cycle.more_body:
            self._connection.break_off(cycle, refusal)
            return
        self._connection.take(self._refused(refusal, method))

    def _refused(self, refusal: Refusal, method: str | None) -> Cycle:
        raw_path, _, query = self._url[:_SHOWN].partition(b"?")
        if method is None:
            method = self._parser.get_method().decode("ascii") if self._url else ""
        self._url = b"/"
        scope = self._scope(method, "1.1") | {
            "path": raw_path.decode("latin-1"),
            "raw_path": raw_path,
            "query_string": query,
        }
        cycle = Cycle(self._connection, scope, dict(self._headers))
        cycle.refusal, cycle.keep_alive, cycle.more_body = refusal, False, False
        return cycle
