"""The lifespan protocol, driven for apps that speak it well, badly, or not at all."""

import asyncio
from typing import Any

import pytest
from clock import VIRTUAL
from starlette.types import Receive, Scope, Send

from lmservice.errors import StartError
from lmservice.web.lifespan import Lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> Any:
    return VIRTUAL


class App:
    """An app whose lifespan does as its steps say: `receive`, a message's type, or an error to raise."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self.done: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        scope["state"]["by the app"] = True
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            if step == "receive":
                self.done.append((await receive())["type"])
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                await send({"type": step, "message": "the app's words"})
                self.done.append(step)


UP, DOWN = "lifespan.startup.complete", "lifespan.shutdown.complete"


async def test_an_app_starts_and_shuts_down_when_it_is_asked() -> None:
    app, state = App("receive", 2.0, UP, "receive", 3.0, DOWN), dict[str, Any]()
    lifespan = Lifespan(app, state)
    await lifespan.start()
    assert app.done == ["lifespan.startup", UP]
    assert state == {"by the app": True}
    await lifespan.stop()
    assert app.done == ["lifespan.startup", UP, "lifespan.shutdown", DOWN]


@pytest.mark.parametrize("app", [App(), App(AssertionError("only http here")), App("receive")])
async def test_an_app_that_does_not_speak_it_is_served_without(app: App) -> None:
    lifespan = Lifespan(app, {})
    await lifespan.start()
    await lifespan.stop()


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (App("receive", "lifespan.startup.failed"), "the app's words"),
        (App("receive", RuntimeError("no database")), "RuntimeError: no database"),
        (App("receive", 1.0, "lifespan.startup.failed", RuntimeError("later")), "the app's words"),
    ],
)
async def test_an_app_that_fails_to_start_says_why(app: App, words: str) -> None:
    with pytest.raises(StartError, match=words):
        await Lifespan(app, {}).start()


class OddError(BaseException):
    """What `except Exception` does not catch."""


@pytest.mark.parametrize("error", [OddError, asyncio.CancelledError])
async def test_an_app_that_raises_what_is_no_exception_fails_to_start_at_once(error: type[BaseException]) -> None:
    starting = asyncio.create_task(Lifespan(App("receive", error()), {}).start())
    await asyncio.wait([starting], timeout=5)
    assert starting.done(), "it waits for ever"
    assert isinstance(starting.exception(), StartError)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (App("receive", UP, "receive", "lifespan.shutdown.failed"), "the app's words"),
        (App("receive", UP, "receive", OSError("disk")), "OSError: disk"),
        (App("receive", UP, OSError("early")), "OSError: early"),
    ],
)
async def test_an_app_that_fails_to_shut_down_says_why(app: App, words: str) -> None:
    lifespan = Lifespan(app, {})
    await lifespan.start()
    await asyncio.sleep(1)
    with pytest.raises(RuntimeError, match=words):
        await lifespan.stop()


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([RuntimeError("no broker")], "RuntimeError: no broker"),
        ([ExceptionGroup("a task group", [RuntimeError("no broker")])], "RuntimeError: no broker"),
        ([asyncio.CancelledError()], "CancelledError"),
        ([SystemExit(5)], "SystemExit: 5"),
        (["lifespan.shutdown.failed"], "the app's words"),
        (["lifespan.shutdown.failed", 1000.0], "the app's words"),
        (["lifespan.shutdown.failed", RuntimeError("no broker")], "RuntimeError: no broker"),
    ],
)
async def test_an_app_whose_lifespan_ends_after_its_start_is_told_of_at_once(
    steps: list[Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    lifespan = Lifespan(App("receive", UP, 5.0, *steps), {})
    await lifespan.start()
    assert not lifespan.died.is_set()
    await asyncio.wait_for(lifespan.died.wait(), 6)
    (record,) = caplog.records
    assert (record.message, record.levelname, vars(record)["error"]) == ("lmservice.lifespan_died", "ERROR", words)
    with pytest.raises(RuntimeError, match=f"ended while it was needed: {words}"):
        await lifespan.stop()
    assert len(caplog.records) == 1


async def test_an_app_that_fails_while_it_shuts_down_has_not_died() -> None:
    lifespan = Lifespan(App("receive", UP, "receive", OSError("disk")), {})
    await lifespan.start()
    with pytest.raises(RuntimeError, match="failed to shut down"):
        await lifespan.stop()
    assert not lifespan.died.is_set()


async def test_an_app_that_leaves_after_its_start_needs_no_shut_down() -> None:
    lifespan = Lifespan(App("receive", UP), {})
    await lifespan.start()
    await asyncio.sleep(1)
    assert not lifespan.died.is_set()
    await lifespan.stop()


async def test_a_start_that_hangs_can_be_given_up_and_is_cancelled() -> None:
    lifespan = Lifespan(App("receive", 1000.0, UP), {})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lifespan.start(), 5)
    await lifespan.stop()
    assert len(asyncio.all_tasks()) <= 2


async def test_a_stop_without_a_start_does_nothing() -> None:
    app = App("receive")
    await Lifespan(app, {}).stop()
    assert app.done == []
