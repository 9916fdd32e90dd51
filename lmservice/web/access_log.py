"""The access line: one request, one event, `http.request`, composed from parts that are known beforehand.

Every request pays for its line, so what the lines of one route have in common is rendered once, and the lines of one
turn of the event loop are written together, before any other event. For people it goes the way of all events.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Final

from lmservice.telemetry.context import UnderWay
from lmservice.telemetry.logs import Stream, json_line, json_text

LOGGER = "lmservice.access"
EVENT = "http.request"
REMEMBERED: Final = 1024
"""So many clients' addresses are kept rendered."""
_DIGITS: Final = [f"{number:03}" for number in range(1000)]
_SECOND: Final = 1_000_000
"""In microseconds."""

_log = logging.getLogger(LOGGER)


class Parts:
    """What the lines of all requests have in common that had one method, one route and one status."""

    __slots__ = ("after", "before", "method", "route", "status")

    def __init__(self, method: str, route: str, status: int) -> None:
        self.method, self.route, self.status = method, route, status
        self.before = f'","method":{json_text(method)},"route":{json_text(route)},"path":'
        self.after = f',"status":{status},"duration":'


class AccessLog:
    """Writes the lines of one service to its stream; on its event loop alone.

    Args:
        stream: where they go.
        clients: whether they have the client's address.
    """

    def __init__(self, stream: Stream, *, clients: bool) -> None:
        self._stream = stream
        self._clients = clients
        self._client_fields: dict[str, str] = {}
        self._output = stream.output
        self._second = 0
        self._begin = ""
        fields = json_line({"level": "info", "logger": LOGGER, "event": EVENT, **stream.fields}).decode()
        self._fields = f'Z",{fields[1:-2]},"request_id":"'

    def write(self, ids: UnderWay, parts: Parts, path: str, client: tuple[str, int] | None, seconds: float) -> None:
        """Write the line of one request, which took `seconds`."""
        pending = self._output.pending
        if not pending:
            if not _log.isEnabledFor(logging.INFO):
                return
            if not self._stream.json:
                self._write_for_people(ids, parts, path, client, seconds)
                return
            asyncio.get_running_loop().call_soon(self._flush_soon)
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._begin = f'{{"timestamp":"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.'
        clock, took = int((now - second) * _SECOND), int(seconds * _SECOND + 0.5)
        # three digits at a time from a table: formatting numbers would be a third of a line's cost
        duration = f"0.{_DIGITS[took // 1000]}{_DIGITS[took % 1000]}" if took < _SECOND else f"{seconds:.6f}"
        quoted = encode_basestring_ascii(path) if path.isascii() and "\x7f" not in path else json_text(path)
        client_field = (self._client_fields.get(client[0]) or self._client_field(client[0])) if client else ""
        pending.append(
            f"{self._begin}{_DIGITS[clock // 1000]}{_DIGITS[clock % 1000]}{self._fields}{ids.request_id}"
            f'","trace_id":"{ids.trace_id}","span_id":"{ids.span_id}{parts.before}{quoted}{client_field}{parts.after}'
            f"{duration}}}\n"
        )

    def _flush_soon(self) -> None:
        """Let the answers leave first: writing gives the interpreter's lock away, to a thread that may keep it."""
        asyncio.get_running_loop().call_soon(self._output.flush)

    def _client_field(self, host: str) -> str:
        """Return `,"client":"192.0.2.1"`, rendered once for each address while there are not too many."""
        if not self._clients:
            return ""
        if len(self._client_fields) >= REMEMBERED:
            self._client_fields.clear()
        field = self._client_fields[host] = f',"client":{json_text(host)}'
        return field

    def _write_for_people(
        self, ids: UnderWay, parts: Parts, path: str, client: tuple[str, int] | None, seconds: float
    ) -> None:
        values: dict[str, object] = {"method": parts.method, "route": parts.route, "path": path}
        if self._clients and client is not None:
            values["client"] = client[0]
        values["status"] = parts.status
        identity = {"request_id": ids.request_id, "trace_id": ids.trace_id, "span_id": ids.span_id}
        self._stream.write("info", LOGGER, EVENT, {**identity, **values, "duration": round(seconds, 6)})
