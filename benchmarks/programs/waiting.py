"""The bare app's route under lmservice."""

from bare import routes

from lmservice import Service

service = Service("waiting", routes=routes)
