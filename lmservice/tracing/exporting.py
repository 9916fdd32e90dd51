"""The export of spans over OTLP, by OpenTelemetry's own exporters; a collector that is away is told once.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ has the variables, of which those for traces come first.
"""

import importlib
import logging
import os
from collections.abc import Iterator, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"
GRPC = "grpc"
_SPEAKERS = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")
"""The loggers, and those below, that tell of each attempt at an export: 20 lines a minute."""

_log = logging.getLogger("lmservice.otel")


class UnknownProtocolError(ValueError):
    """The environment asks for a protocol that spans cannot be exported by."""


def exporter() -> SpanExporter:
    """Return an exporter that speaks the protocol which the environment names; default HTTP with protobuf.

    Raises:
        UnknownProtocolError: it is no protocol of OTLP's that there is an exporter for; names the variable.
    """
    variable = next((name for name in PROTOCOLS if os.environ.get(name)), PROTOCOLS[1])
    protocol = os.environ.get(variable, HTTP).strip().lower()
    if protocol == HTTP:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - one of two

        return OneWarning(OTLPSpanExporter())
    if protocol != GRPC:
        raise UnknownProtocolError(f"{variable} is {protocol!r}: spans are exported by {HTTP} or {GRPC}")
    try:  # it comes with no extra, as it brings grpcio
        by_grpc = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    except ImportError:
        wanted = "pip install opentelemetry-exporter-otlp-proto-grpc"
        raise UnknownProtocolError(f"{variable} is {GRPC!r}, which needs: {wanted}; or set it to {HTTP}") from None
    return OneWarning(by_grpc.OTLPSpanExporter())


class OneWarning(SpanExporter):
    """Exports by another exporter, and tells once that it fails, and once that it works again."""

    def __init__(self, by: SpanExporter) -> None:
        self._by = by
        self._failing = False
        self._words = _LastWords()
        for logger in _speakers():
            logger.addFilter(self._words)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans."""
        try:
            result = self._by.export(spans)
        except Exception as error:  # noqa: BLE001 - the exporter's thread goes on
            self._words.last, result = f"{type(error).__name__}: {error}", SpanExportResult.FAILURE
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            _log.warning("lmservice.spans_failed", extra={"error": self._words.last or "the collector took no spans"})
        if self._failing and not failed:
            _log.warning("lmservice.spans_recovered")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        """End."""
        self._by.shutdown()
        for logger in _speakers():
            logger.removeFilter(self._words)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing, as nothing is held back here."""
        return self._by.force_flush(timeout_millis)


class _LastWords(logging.Filter):
    """Keeps what the exporter says of a failure, which is told in its place."""

    last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self.last = record.getMessage()
        return False


def _speakers() -> Iterator[logging.Logger]:
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith(_SPEAKERS):
            yield logger
