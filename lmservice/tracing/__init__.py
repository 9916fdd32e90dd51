"""Spans, by OpenTelemetry."""
