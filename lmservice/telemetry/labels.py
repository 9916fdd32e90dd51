"""The values that a metric's label may take: never more than `LIMIT`, whatever comes from outside."""

import logging

LIMIT = 200
OTHER = "_OTHER"
"""What stands for every value past the limit, as OpenTelemetry's semantic conventions spell it."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
"""The methods of RFC 9110, and PATCH; any other is `_OTHER`."""

_log = logging.getLogger("lmservice.labels")


class Label:
    """One label: takes the first `LIMIT` values as they are, and folds the rest into `_OTHER`.

    Args:
        name: the label's, as the warning says it.
        what: what its values are, in the plural.
    """

    def __init__(self, name: str, what: str) -> None:
        self._name, self._what = name, what
        self._values: set[str] = set()

    def value(self, given: str) -> str:
        """Return the value under which `given` is counted."""
        if given in self._values or len(self._values) < LIMIT:
            self._values.add(given)
            return given
        if OTHER not in self._values:
            self._values.add(OTHER)
            _log.warning("more than %d %s: the label %s folds the rest into %s", LIMIT, self._what, self._name, OTHER)
        return OTHER
