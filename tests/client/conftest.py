"""A flaky server for each test."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from flaky import Flaky
from prometheus_client import CollectorRegistry

from lmservice import Client, ClientPolicy

QUICK: dict[str, Any] = {"backoff_initial": 0.001, "backoff_max": 0.002}
"""Waits that cost a test nothing."""


@pytest.fixture
async def server() -> AsyncIterator[Flaky]:
    """Answers 200 unless it is told otherwise."""
    async with Flaky() as flaky:
        yield flaky


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the test's clients count."""
    return CollectorRegistry()


@pytest.fixture
def client_of(server: Flaky, registry: CollectorRegistry) -> Callable[..., Client]:
    """Makes clients of the flaky server, by the fields of their policies."""

    def make(**policy: Any) -> Client:
        return Client(server.url, name="test", policy=ClientPolicy(**(QUICK | policy)), registry=registry)

    return make


@pytest.fixture
def sample(registry: CollectorRegistry, server: Flaky) -> Callable[..., float]:
    """The value of a sample of the test's clients; 0 where there is none."""

    def read(name: str, **labels: str) -> float:
        of = {} if name.startswith("http") else {"client": "test", "host": server.host}
        return sum(
            each.value
            for family in registry.collect()
            for each in family.samples
            if each.name == name and (of | labels).items() <= each.labels.items()
        )

    return read
