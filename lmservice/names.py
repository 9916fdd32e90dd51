"""The names of lmservice's own metrics: alerts and dashboards take them from here, so that none is spelt twice.

They follow the OpenTelemetry semantic conventions as Prometheus spells them, where those have one.
"""

REQUEST_DURATION = "http_server_request_duration_seconds"
ACTIVE_REQUESTS = "http_server_active_requests"
REQUESTS_REJECTED = "lmservice_requests_rejected_total"
CONCURRENCY_LIMIT = "lmservice_concurrency_limit"
CONCURRENCY_DEMAND = "lmservice_concurrency_demand"
CONNECTIONS_REFUSED = "lmservice_connections_refused_total"

BUILD_INFO = "lmservice_build_info"
STATE = "lmservice_state"
READY = "lmservice_ready"
EVENT_LOOP_LAG = "lmservice_event_loop_lag_seconds"
LOG_LINES_DROPPED = "lmservice_log_lines_dropped_total"
STARTUP_JOB_DURATION = "lmservice_startup_job_duration_seconds"
HEALTH_CHECK_STATUS = "lmservice_health_check_status"

PERIODIC_JOB_DURATION = "lmservice_periodic_job_duration_seconds"
PERIODIC_JOB_RUNS = "lmservice_periodic_job_runs_total"
PERIODIC_JOB_LAST_SUCCESS = "lmservice_periodic_job_last_success_timestamp_seconds"
PERIODIC_JOB_RUNNING = "lmservice_periodic_job_running"
PERIODIC_JOB_RUNNING_SECONDS = "lmservice_periodic_job_running_seconds"
PERIODIC_JOB_INTERVAL = "lmservice_periodic_job_interval_seconds"

CLIENT_REQUEST_DURATION = "http_client_request_duration_seconds"
CLIENT_RETRIES = "lmservice_client_retries_total"
CLIENT_RETRY_BUDGET_EXHAUSTED = "lmservice_client_retry_budget_exhausted_total"
CLIENT_BREAKER_STATE = "lmservice_client_breaker_state"
CLIENT_POOL_WAIT = "lmservice_client_pool_wait_seconds"
RETRIES = "lmservice_retries_total"

MESSAGE_DURATION = "messaging_process_duration_seconds"
MESSAGES_IN_HAND = "lmservice_messages_in_hand"
CONSUMER_UP = "lmservice_consumer_up"
WORKERS = "lmservice_workers"
WORKER_DEATHS = "lmservice_worker_deaths_total"

COLLECTOR_ERRORS = "lmservice_collector_errors_total"
"""Failed readings of a family of metrics, at a scrape, a push or a worker's count."""

GRAPHITE_PUSHES = "lmservice_graphite_pushes_total"

LOG_EVENTS = "lmservice_log_events_total"
"""Not a service's own: what the log shipper counts, as a process that has ended can no longer be scraped."""
