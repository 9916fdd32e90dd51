"""PromQL of lmservice's metrics, spelt by the names that the code gives them.

Every series has the labels `job` (the service's name), `environment` and `pod`, which the template's PodMonitor sets.
"""

from lmservice import names

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Over which the share of errors is recorded."""
BY = "job, environment"
OWN_JOB = "exported_job"
"""What Prometheus makes of a label `job` of the service's own, as its own has that name."""


class Queries:
    """The queries of one service.

    Args:
        service: its name.
        narrowed: further matchers of every selector, as `environment="$environment"`.
    """

    def __init__(self, service: str, narrowed: str = "") -> None:
        self.service = service
        self._narrowed = narrowed

    def series(self, name: str, matchers: str = "") -> str:
        """A selector of the service's own series."""
        parts = (f'job="{self.service}"', self._narrowed, matchers)
        return f"{name}{{{', '.join(part for part in parts if part)}}}"

    def rate(self, name: str, window: str, by: str, matchers: str = "") -> str:
        """How often something is counted, per second."""
        return f"sum by ({by}) (rate({self.series(name, matchers)}[{window}]))"

    def requests(self, window: str, by: str = BY, matchers: str = "") -> str:
        """Requests per second."""
        return self.rate(f"{names.REQUEST_DURATION}_count", window, by, matchers)

    def errors(self, window: str, by: str = BY) -> str:
        """The share of requests that were answered with 5xx, from 0 to 1; none where there were none.

        Those that ended as their own caller would not wait longer are not held against the service.
        """
        failed = self.requests(window, by, 'http_response_status_code=~"5.."')
        outwaited = self.rate(names.REQUESTS_REJECTED, window, by, 'reason="deadline"')
        return f"clamp_min({failed} - ({outwaited} or {failed} * 0), 0) / {self.requests(window, by)}"

    def slowest(self, share: float, window: str, by: str = BY, name: str = names.REQUEST_DURATION) -> str:
        """The duration that so large a share of requests kept below, in seconds."""
        return f"histogram_quantile({share}, {self.rate(f'{name}_bucket', window, f'{by}, le')})"

    def recorded_errors(self, window: str) -> str:
        """The share of errors, as a rule has recorded it."""
        return self.series(recorded(window))

    def appeared(self, event: str, window: str) -> str:
        """How many lines of one event were logged within a window.

        The first of all counts as well, which `increase` would not see: its series begins with it.
        """
        series = f'{names.LOG_EVENTS}{{service="{self.service}", event="{event}"}}'
        now, before = (f"sum by (environment) ({each})" for each in (series, f"{series} offset {window}"))
        return f"{now} - ({before} or {now} * 0)"


def recorded(window: str) -> str:
    """The name of the series that records the share of errors."""
    return f"job_environment:http_server_errors:ratio_rate{window}"
