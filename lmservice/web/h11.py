"""A connection parsed by h11, where `LM_HTTP` asks for it."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lmservice.web.connections import Watched


class H11Connection(Watched, H11Protocol):  # type: ignore[misc]
    """A connection parsed by h11."""

    @property
    def head_begun(self) -> bool:
        """Whether h11 holds bytes of a head that is not complete."""
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    @property
    def next_request_waits(self) -> bool:
        """Whether, once this one's body is complete, bytes have come behind it."""
        return self.conn.their_state is h11.DONE and (bool(self.conn.trailing_data[0]) or self.unread > 0)
