"""Moments as JSON has them: RFC 3339, in UTC."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Format a moment, in seconds since the epoch, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
