"""By when a request must be answered: the earliest of `LM_REQUEST_TIMEOUT` and what its caller says it will wait.

A caller says so by Envoy's `X-Envoy-Expected-Rq-Timeout-Ms`
(https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter) or by gRPC's `grpc-timeout`
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). Both can only shorten, so anybody is believed.
"""

import re
from collections.abc import Mapping
from typing import Final

EXPECTED: Final = b"x-envoy-expected-rq-timeout-ms"
"""Whole milliseconds."""
GRPC: Final = b"grpc-timeout"
"""Up to eight digits and a unit."""
LONGEST: Final = 86_400.0
"""What a timer is set for at most, in seconds; what lasts longer is looked for every half second."""

_MILLISECONDS: Final = re.compile(rb"[0-9]{1,15}")
_GRPC: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def expected_wait(headers: Mapping[bytes, bytes]) -> float | None:
    """Return how long the caller says it will wait, in seconds; None where it says nothing that is a number."""
    waits = []
    if milliseconds := _MILLISECONDS.fullmatch(headers.get(EXPECTED, b"")):
        waits.append(int(milliseconds[0]) / 1000)
    if timeout := _GRPC.fullmatch(headers.get(GRPC, b"")):
        waits.append(int(timeout[1]) * _UNITS[timeout[2]])
    return min(waits, default=None)
