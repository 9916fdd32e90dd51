"""Whether somebody collects spans: OpenTelemetry's own variables say so, and the extra `lmservice[otel]` does it.

Without them nothing of OpenTelemetry is imported (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
"""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmservice.tracing.otel import OtelTracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_log = logging.getLogger("lmservice.tracing")


def tracer(fields: Mapping[str, str]) -> "OtelTracer | None":
    """Return what makes and exports spans; None where no endpoint is set, tracing is off, or the extra is missing.

    Args:
        fields: what every log line says of the service; the spans' resource says the same.
    """
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name)), "")
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if not endpoint or off:
        return None
    try:
        from lmservice.tracing.otel import OtelTracer  # noqa: PLC0415 - loaded only where spans are wanted

        return OtelTracer(fields)
    except ImportError as error:
        hint = f"{endpoint} is set, but spans cannot be exported: pip install 'lmservice[otel]'"
        _log.warning("lmservice.no_spans", extra={"error": str(error), "hint": hint})
    except ValueError as error:  # of a variable: a protocol, a propagator, a sampler that there is not
        hint = f"{endpoint} is set, but another OTEL_ variable is not as it must be: OTEL_PROPAGATORS, …_PROTOCOL"
        _log.warning("lmservice.no_spans", extra={"error": str(error), "hint": hint})
    return None
