"""The same endpoint by Litestar with its own Prometheus and structlog plugins; it brings no request ids."""

from litestar import Litestar, get
from litestar.middleware.logging import LoggingMiddlewareConfig
from litestar.plugins.prometheus import PrometheusConfig, PrometheusController
from litestar.plugins.structlog import StructlogConfig, StructlogPlugin


@get("/flights/{origin:str}/{destination:str}")
async def flights(origin: str, destination: str) -> dict[str, str]:
    """Answers with its two path parameters."""
    return {"origin": origin, "destination": destination}


app = Litestar(
    [flights, PrometheusController],
    middleware=[PrometheusConfig(group_path=True).middleware],
    plugins=[
        StructlogPlugin(
            StructlogConfig(
                middleware_logging_config=LoggingMiddlewareConfig(
                    request_log_fields=["method", "path"], response_log_fields=["status_code"]
                )
            )
        )
    ],
)
