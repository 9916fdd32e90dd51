"""The yardstick's routes under lmservice, everything on as by default."""

from overhead_bare import many_routes, routes

from lmservice import Service

service = Service("overhead", routes=routes)
many = Service("overhead", routes=many_routes)
