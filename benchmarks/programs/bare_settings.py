"""The bare app, with its settings from the environment by one pydantic-settings model."""

from bare import app
from pydantic_settings import BaseSettings

__all__ = ["app", "settings"]


class HelloSettings(BaseSettings):
    """What the contract's hello service is told."""

    greeting: str = "hello"


settings = HelloSettings()
