"""The values that a metric's label may take: never more than `LIMIT`, whatever comes from outside."""

import logging
import os
from typing import Final

LIMIT = 200
OTHER = "_OTHER"
"""What stands for every value past the limit, as OpenTelemetry's semantic conventions spell it."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))
"""The methods of RFC 9110, PATCH and QUERY; any other is `_OTHER`, unless OpenTelemetry's variable names it."""
METHODS_VARIABLE: Final = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"
"""The variable that replaces the list of known methods (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/)."""

_log = logging.getLogger("lmservice.labels")


def known_methods() -> frozenset[str]:
    """Return the methods that metrics and spans tell by name, as the environment says by now; the case counts."""
    names = (name.strip() for name in os.environ.get(METHODS_VARIABLE, "").split(","))
    return frozenset(name for name in names if name) or METHODS


class Label:
    """One label: takes the first `LIMIT` values as they are, and folds the rest into `_OTHER`.

    Args:
        name: the label's, as the warning says it.
        what: what its values are, in the plural.
    """

    def __init__(self, name: str, what: str) -> None:
        self._name, self._what = name, what
        self._values: set[str] = set()

    def value(self, value: str) -> str:
        """Return the value under which `value` is counted."""
        if value in self._values or len(self._values) < LIMIT:
            self._values.add(value)
            return value
        if OTHER not in self._values:
            self._values.add(OTHER)
            _log.warning("more than %d %s: the label %s folds the rest into %s", LIMIT, self._what, self._name, OTHER)
        return OTHER
