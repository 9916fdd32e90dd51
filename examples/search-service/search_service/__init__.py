"""Search of every flight that left New York in 2013; `lmservice run search_service:service` runs it."""

from search_service.application import service

__all__ = ["service"]
