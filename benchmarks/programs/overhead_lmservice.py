"""The yardstick's route under lmservice, everything on as by default."""

from overhead_bare import routes

from lmservice import Service

service = Service("overhead", routes=routes)
