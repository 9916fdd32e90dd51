"""What a call may end with, beside httpx's own errors, of which these are."""

import httpx

from lmservice.errors import LmserviceError


class DeadlineExceeded(LmserviceError, httpx.TimeoutException, TimeoutError):  # noqa: N818 - the contract's name
    """No answer came before the call's deadline, its own or that of the request under way.

    An `httpx.TimeoutException` and a `TimeoutError`; the message names the host, the limit and the policy's field.
    """


class CircuitOpen(LmserviceError, httpx.TransportError):  # noqa: N818 - the contract's name
    """The host's circuit breaker is open, so the call was not made.

    An `httpx.TransportError`; the message names the host, the limit and the policy's field.
    """
