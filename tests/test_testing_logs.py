"""`lmservice.testing.captured_logs`: what is logged, as dictionaries."""

import logging
import threading
import warnings

import httpx
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lmservice import Service
from lmservice.testing import captured_logs, running

pytestmark = pytest.mark.anyio


def service() -> Service:
    async def greet(_: Request) -> Response:
        structlog.get_logger("shop").info("greeted", password="hunter2", guest="Ada")
        threading.Thread(target=logging.getLogger("shop.thread").warning, args=["from a thread"]).start()
        return PlainTextResponse("hello")

    return Service("tested", routes=[Route("/", greet)])


async def test_the_events_of_a_service_are_dictionaries_with_its_fields_and_its_requests() -> None:
    with captured_logs() as logs:
        async with running(service()) as each, httpx.AsyncClient() as client:
            await client.get(each.url, headers={"X-Request-ID": "mine"})
    (greeted,) = [event for event in logs if event["event"] == "greeted"]
    assert greeted.items() >= {
        "level": "info", "logger": "shop", "service": "tested", "guest": "Ada", "request_id": "mine"
    }.items()  # fmt: skip
    assert greeted["password"] != "hunter2"
    (access,) = [event for event in logs if event["event"] == "http.request"]
    assert (access["route"], access["status"], access["request_id"]) == ("/", 200, "mine")
    (thread,) = [event for event in logs if event["event"] == "from a thread"]
    assert (thread["level"], thread["service"]) == ("warning", "tested")
    assert [event["event"] for event in logs][-1] == "lmservice.stopped"


async def test_it_may_be_entered_while_a_service_runs_and_collects_from_then_on() -> None:
    async with running(service(), log_level="WARNING") as each, httpx.AsyncClient() as client:
        with captured_logs() as logs:
            logging.getLogger("shop").warning("told")
            logging.getLogger("shop").info("below the service's level")
            await client.get(each.url)
        logging.getLogger("shop").warning("too late")
    events = [event["event"] for event in logs]
    assert "told" in events
    assert not {"too late", "below the service's level", "lmservice.ready"} & set(events)


def test_code_outside_of_a_service_is_collected_whichever_logger_it_uses() -> None:
    with captured_logs() as logs:
        logging.getLogger("mine").info("standard %s", "library", extra={"answer": 42})
        structlog.get_logger("other").error("structlog's", answer=43)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a warning", stacklevel=1)
        logging.getLogger("mine").debug("below INFO")
    assert [(event["event"], event.get("answer")) for event in logs[:2]] == [
        ("standard library", 42),
        ("structlog's", 43),
    ]
    assert "a warning" in logs[2]["event"]
    assert len(logs) == 3


def test_loggers_are_as_before_afterwards() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with captured_logs():
        pass
    assert (root.handlers, root.level) == before
