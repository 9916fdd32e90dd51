"""The same route and the same series on plain starlette, with prometheus_client's own app for the metrics."""

from bare import routes
from prometheus_client import make_asgi_app
from series import service
from starlette.applications import Starlette
from starlette.routing import Mount

app = Starlette(routes=[*routes, Mount("/metrics", make_asgi_app(service.metrics.registry))])
