"""`GET /loggers` and `PUT /loggers/{name}`."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from management.conftest import program

from lmservice.testing import running

pytestmark = pytest.mark.anyio
NAME = "flights.fares"


@pytest.fixture(autouse=True)
def fares() -> Iterator[logging.Logger]:
    """A logger of the service, with a level of its own."""
    logger = logging.getLogger(NAME)
    logger.setLevel(logging.ERROR)
    yield logger
    logger.setLevel(logging.NOTSET)


async def reverted(logger: logging.Logger, level: int) -> None:
    """Returns once the logger has that level."""
    async with asyncio.timeout(5):
        while logger.level != level:  # noqa: ASYNC110 - a logger tells nobody of its level
            await asyncio.sleep(0.005)


async def test_every_logger_is_told_with_its_level(shared: Any) -> None:
    loggers = (await shared.management.get("/loggers")).json()["loggers"]
    assert loggers["root"]["level"] == "INFO"
    assert loggers[NAME]["level"] == "ERROR"


async def test_a_change_takes_effect_and_is_told(flights: Any, fares: logging.Logger, logged: Any) -> None:
    management = (await flights()).management
    fares.debug("before")
    answer = await management.put(f"/loggers/{NAME}", json={"level": "DEBUG", "duration": 30})
    assert (answer.status_code, answer.json()) == (200, {"name": NAME, "level": "DEBUG", "duration": 30})
    fares.debug("after")
    assert [event["event"] for event in logged() if event["logger"] == NAME] == ["after"]
    told = (await management.get("/loggers")).json()["loggers"][NAME]
    assert told["level"] == "DEBUG"
    assert 0 < told["reverts_in"] <= 30


async def test_a_change_lasts_600_seconds_by_default(flights: Any) -> None:
    management = (await flights()).management
    answer = await management.put(f"/loggers/{NAME}", json={"level": "INFO"})
    assert (answer.status_code, answer.json()["duration"]) == (200, 600)
    assert 590 < (await management.get("/loggers")).json()["loggers"][NAME]["reverts_in"] <= 600


async def test_it_reverts_by_itself(flights: Any, fares: logging.Logger) -> None:
    management = (await flights()).management
    await management.put(f"/loggers/{NAME}", json={"level": "DEBUG", "duration": 0.05})
    assert fares.level == logging.DEBUG
    await reverted(fares, logging.ERROR)
    assert "reverts_in" not in (await management.get("/loggers")).json()["loggers"][NAME]


async def test_a_second_change_keeps_the_level_that_was_there_first(flights: Any, fares: logging.Logger) -> None:
    management = (await flights()).management
    await management.put(f"/loggers/{NAME}", json={"level": "DEBUG", "duration": 0.05})
    await management.put(f"/loggers/{NAME}", json={"level": "WARNING", "duration": 0.3})
    await asyncio.sleep(0.1)
    assert fares.level == logging.WARNING
    await reverted(fares, logging.ERROR)


async def test_a_logger_without_a_level_reverts_to_none(flights: Any) -> None:
    management = (await flights()).management
    logger = logging.getLogger("flights.none")
    await management.put("/loggers/flights.none", json={"level": "DEBUG", "duration": 0.05})
    assert logger.level == logging.DEBUG
    await reverted(logger, logging.NOTSET)


async def test_the_root_logger_can_be_changed_too(flights: Any, logged: Any) -> None:
    management = (await flights()).management
    await management.put("/loggers/root", json={"level": "DEBUG", "duration": 0.5})
    logging.getLogger("flights.other").debug("deep inside")
    await reverted(logging.getLogger(), logging.INFO)
    assert "deep inside" in [event["event"] for event in logged()]


async def test_the_end_of_the_service_ends_every_change(fares: logging.Logger) -> None:
    async with running(program()) as service, httpx.AsyncClient(base_url=service.management_url) as management:
        await management.put(f"/loggers/{NAME}", json={"level": "DEBUG"})
        assert fares.level == logging.DEBUG
    assert fares.level == logging.ERROR


@pytest.mark.parametrize(
    "body",
    [
        "",
        "DEBUG",
        '"DEBUG"',
        "[]",
        "{}",
        "{",
        '{"level": "LOUD"}',
        '{"level": 10}',
        '{"level": null}',
        '{"duration": 5}',
        '{"level": "DEBUG", "duration": 0}',
        '{"level": "DEBUG", "duration": -1}',
        '{"level": "DEBUG", "duration": "long"}',
        '{"level": "DEBUG", "duration": null}',
        '{"level": "DEBUG", "duration": true}',
        '{"level": "DEBUG", "duration": NaN}',
        '{"level": "DEBUG", "duration": Infinity}',
        '{"level": "DEBUG", "duration": 1e308}',
        '{"level": "DEBUG", "durration": 5}',
        "\xff",
        "[" * 10_000,
    ],
)
async def test_a_change_that_is_none_is_refused_and_says_why(shared: Any, fares: logging.Logger, body: str) -> None:
    management = shared.management
    answer = await management.put(f"/loggers/{NAME}", content=body.encode("latin-1"))
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert fares.level == logging.ERROR


@pytest.mark.parametrize("name", ["", "a/b", "a%2Fb", "a%0Ab", "x" * 1000, "%20", "%F0%9F%92%A9"])
async def test_a_name_that_is_none_is_refused(shared: Any, name: str) -> None:
    answer = await shared.management.put(f"/loggers/{name}", json={"level": "DEBUG"})
    assert answer.status_code in {400, 404, 422}


async def test_a_body_without_end_is_refused(shared: Any, fares: logging.Logger) -> None:
    answer = await shared.management.put(f"/loggers/{NAME}", content=b" " * 200_000)
    assert answer.status_code == 413
    assert fares.level == logging.ERROR


async def test_after_a_service_that_ran_in_a_test_every_logger_has_its_level_again(fares: logging.Logger) -> None:
    loggers = [logging.getLogger(name) for name in (None, "uvicorn.error", "asyncio", "httpx", NAME)]
    for logger in loggers[1:4]:
        logger.setLevel(logging.NOTSET)
    before = [logger.level for logger in loggers]
    async with running(program(), log_level="ERROR") as service, httpx.AsyncClient(verify=False) as client:
        changed = {"level": "DEBUG", "duration": 600}
        assert (await client.put(f"{service.management_url}/loggers/{NAME}", json=changed)).status_code == 200
        assert fares.level == logging.DEBUG
    assert [logger.level for logger in loggers] == before
