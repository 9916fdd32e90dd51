"""The same endpoint by FastAPI, prometheus-fastapi-instrumentator, asgi-correlation-id and a structlog access line."""

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from overhead_access import AccessLog
from prometheus_fastapi_instrumentator import Instrumentator

app = FastAPI()
app.add_middleware(AccessLog)
app.add_middleware(CorrelationIdMiddleware)
Instrumentator().instrument(app).expose(app)


@app.get("/flights/{origin}/{destination}")
async def flights(origin: str, destination: str) -> dict[str, str]:
    """Answers with its two path parameters."""
    return {"origin": origin, "destination": destination}
