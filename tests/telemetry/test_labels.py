"""What the labels of metrics may say."""

import pytest

from lmservice.telemetry.labels import METHODS, known_methods


def test_the_known_methods_are_todays_conventions() -> None:
    assert known_methods() == METHODS
    assert {"GET", "PATCH", "QUERY"} < METHODS


@pytest.mark.parametrize(
    ("variable", "methods"),
    [("GET,PURGE", {"GET", "PURGE"}), (" GET , get ,", {"GET", "get"}), ("", METHODS), (" , ", METHODS)],
)
def test_opentelemetrys_variable_replaces_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, methods: set[str]
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", variable)
    assert known_methods() == methods
