"""The access line: one request, one event, `http.request`, composed from parts that are known beforehand.

Every request pays for its line, so what the lines of one route have in common is rendered once, and the lines of one
turn of the event loop are written together, before any other event. For people it goes the way of all events.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Final

from lmservice.telemetry.context import UnderWay
from lmservice.telemetry.logs import Stream, json_line, json_text

LOGGER = "lmservice.access"
EVENT = "http.request"
REMEMBERED: Final = 1024
"""So many clients' addresses are kept rendered."""

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
        self._client_fields: dict[str, str] | None = {} if clients else None
        self._output = stream.output
        self._second = 0
        self._begin = ""
        fields = json_line({"level": "info", "logger": LOGGER, "event": EVENT, **stream.fields}).decode()
        self._fields = f'Z",{fields[1:-2]},"request_id":"'

    def write(self, ids: UnderWay, parts: Parts, path: str, client: tuple[str, int] | None, seconds: float) -> None:
        """Write the line of one request, which took `seconds`."""
        if not _log.isEnabledFor(logging.INFO):
            return
        if not self._stream.json:
            self._write_for_people(ids, parts, path, client, seconds)
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._begin = f'{{"timestamp":"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.'
        pending = self._output.pending
        if not pending:
            asyncio.get_running_loop().call_soon(self._flush_soon)
        plain = path.isascii() and path.isprintable() and '"' not in path and "\\" not in path
        quoted = f'"{path}"' if plain else json_text(path)
        pending.append(
            f'{self._begin}{int((now - second) * 1e6):06d}{self._fields}{ids.request_id}","trace_id":"{ids.trace_id}'
            f'","span_id":"{ids.span_id}{parts.before}{quoted}{self._client_field(client)}{parts.after}{seconds:.6f}}}\n'
        )

    def _flush_soon(self) -> None:
        """Let the answers leave first: writing gives the interpreter's lock away, to a thread that may keep it."""
        asyncio.get_running_loop().call_soon(self._output.flush)

    def _client_field(self, client: tuple[str, int] | None) -> str:
        """Return `,"client":"192.0.2.1"`, rendered once for each address while there are not too many."""
        fields = self._client_fields
        if fields is None or client is None:
            return ""
        field = fields.get(client[0])
        if field is None:
            if len(fields) >= REMEMBERED:
                fields.clear()
            field = fields[client[0]] = f',"client":{json_text(client[0])}'
        return field

    def _write_for_people(
        self, ids: UnderWay, parts: Parts, path: str, client: tuple[str, int] | None, seconds: float
    ) -> None:
        values: dict[str, object] = {"method": parts.method, "route": parts.route, "path": path}
        if self._client_fields is not None and client is not None:
            values["client"] = client[0]
        values["status"] = parts.status
        identity = {"request_id": ids.request_id, "trace_id": ids.trace_id, "span_id": ids.span_id}
        self._stream.write("info", LOGGER, EVENT, {**identity, **values, "duration": round(seconds, 6)})
