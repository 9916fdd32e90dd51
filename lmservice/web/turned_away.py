"""The answer to a request that is refused as more have come than can be served: it must cost next to nothing.

Where one is refused before anything has been made of it, its answer is composed from bytes and written at once; it is
counted as any other, and the log tells of many in one line.
"""

import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from lmservice.web.admission import OVERLOADED, Admission
from lmservice.web.ids import REQUEST_ID

if TYPE_CHECKING:
    from lmservice.web.connection import HttpConnection

QUIET: Final = 10.0
"""Seconds between two lines of the log."""
PATIENCE: Final = 1, 2, 3
"""What a refused client is asked to wait, in whole seconds: one of these, so that they do not come back at once."""

_HEAD: Final = (
    b"%b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nretry-after: %d\r\nx-request-id: %b\r\n\r\n"
)
_BODIES: Final = frozenset((b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"connection"))
"""A request that has one of these may bring more than its head, or end its connection."""
_BODY: Final = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"%b","request_id":"'
    % OVERLOADED.detail.encode()
)
_VALID_ID: Final = re.compile(REQUEST_ID)

_log = logging.getLogger("lmservice.overload")


class TurnedAway:
    """Answers what one service refuses.

    Args:
        admission: what refuses it.
        rejected: counts it, by reason.
        observe: is told the method of each that is answered here.
    """

    def __init__(
        self,
        admission: Admission,
        rejected: Counter[str] | None = None,
        observe: Callable[[str], None] = lambda _method: None,
    ) -> None:
        self._admission, self._observe = admission, observe
        self._rejected: Counter[str] = Counter() if rejected is None else rejected
        self._since_told = 0
        self._told_at = 0.0

    def turns_away(self, connection: "HttpConnection", method: str, url: bytes, fields: Mapping[bytes, bytes]) -> bool:
        """Refuse a request at once, where that must be and its head is all of it; return whether it is answered."""
        listener = connection.listener
        if connection.cycle is not None or connection.write_paused or connection.ended or listener.draining:
            return False
        if not _BODIES.isdisjoint(fields) or not self._admission.refuses(url.partition(b"?")[0].decode("latin-1")):
            return False
        connection.write(self._answer(method, fields, listener.beginnings.of(HTTPStatus.SERVICE_UNAVAILABLE)))
        connection.since = listener.loop.time()
        return True

    def _answer(self, method: str, fields: Mapping[bytes, bytes], beginning: bytes) -> bytes:
        request_id = fields.get(b"x-request-id")
        if request_id is None or not _VALID_ID.fullmatch(request_id):
            request_id = b"%032x" % (random.getrandbits(128) | 1)
        self.count(method)
        body = b'%b%b"}' % (_BODY, request_id)
        head = _HEAD % (beginning, len(body), random.choice(PATIENCE), request_id)
        return head if method == "HEAD" else head + body

    def count(self, method: str) -> None:
        """Count a request that was refused, and tell the log now and then."""
        self._rejected["overload"] += 1
        self._admission.refused += 1
        self._observe(method)
        self._since_told += 1
        now = time.monotonic()
        if now - self._told_at >= QUIET:
            self.tell(now)

    def tell(self, now: float) -> None:
        """Tell the log how many were refused since it was last told, and where the queue stands."""
        where = self._admission.report()
        refused, self._since_told, self._told_at = self._since_told, 0, now
        _log.warning("lmservice.overloaded", extra={"refused": refused, **where})
