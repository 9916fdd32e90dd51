"""The yardstick's route with starlette-exporter, asgi-correlation-id and a structlog access line."""

from asgi_correlation_id import CorrelationIdMiddleware
from overhead_access import AccessLog
from overhead_bare import routes
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette_exporter import PrometheusMiddleware

app = Starlette(
    routes=routes,
    middleware=[Middleware(PrometheusMiddleware), Middleware(CorrelationIdMiddleware), Middleware(AccessLog)],
)
