"""A task that a handler created and left is not waited for, and is told of."""

import asyncio
import contextlib
from typing import Any

import pytest
import websockets
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from lmservice import Service

pytestmark = pytest.mark.anyio
KEPT: set[asyncio.Task[Any]] = set()


async def work(seconds: float) -> None:
    await asyncio.sleep(seconds)


def keep(*tasks: asyncio.Task[Any]) -> None:
    KEPT.update(tasks)
    for task in tasks:
        task.add_done_callback(KEPT.discard)


async def leave(request: Request) -> Response:
    keep(asyncio.create_task(work(float(request.path_params["seconds"]))))
    return PlainTextResponse("accepted", 202)


async def leave_a_chain(_: Request) -> Response:
    inner = asyncio.create_task(work(60))
    keep(inner, asyncio.create_task(wait_for(inner)))
    return PlainTextResponse("accepted", 202)


async def wait_for(task: asyncio.Task[None]) -> None:
    await task


async def shake_hands(websocket: WebSocket) -> None:
    await websocket.accept()
    keep(asyncio.create_task(work(60)))
    await websocket.close()


async def in_the_background(_: Request) -> Response:
    return PlainTextResponse("accepted", 202, background=BackgroundTask(work, 0.3))


def service() -> Service:
    service = Service(
        "left",
        routes=[
            Mount("/v1", routes=[Route("/leave/{seconds}", leave)]),
            Route("/chain", leave_a_chain),
            Route("/background", in_the_background),
            WebSocketRoute("/socket", shake_hands),
        ],
    )

    @service.startup_job
    async def job() -> Any:
        task = asyncio.create_task(work(60))
        yield task
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return service


async def stopped(served: Any, logged: Any) -> tuple[dict[str, Any], list[str]]:
    """The report, and what the log names."""
    await served.close()
    report = await served.running.stop()
    lines = logged("lmservice.tasks_left")
    assert len(lines) <= 1
    assert all(line["level"] == "warning" and line["count"] == len(line["tasks"]) for line in lines)
    return report, [name for line in lines for name in line["tasks"]]


async def test_a_task_that_is_left_is_named_with_its_coroutine_and_route(serve: Any, logged: Any) -> None:
    served = await serve(service())
    assert (await served.client.get("/v1/leave/60")).status_code == 202
    report, names = await stopped(served, logged)
    assert names == ["work (/v1/leave/{seconds})"]
    assert (report["tasks"], report["exit_code"], report["seconds"] < 2) == (1, 0, True)


async def test_tasks_that_wait_for_each_other_are_both_named(serve: Any, logged: Any) -> None:
    served = await serve(service())
    await served.client.get("/chain")
    report, names = await stopped(served, logged)
    assert (names, report["tasks"]) == (["wait_for (/chain)", "work (/chain)"], 2)


async def test_a_websockets_are_too(serve: Any, logged: Any) -> None:
    served = await serve(service())
    async with websockets.connect(served.running.url.replace("http", "ws") + "/socket", proxy=None):
        pass
    _, names = await stopped(served, logged)
    assert names == ["work (/socket)"]


async def test_what_has_ended_is_waited_for_or_belongs_to_a_job_is_not(serve: Any, logged: Any) -> None:
    served = await serve(service())
    await served.client.get("/v1/leave/0")
    await served.client.get("/background")
    report, names = await stopped(served, logged)
    assert (names, report["tasks"], report["exit_code"]) == ([], 0, 0)


async def test_another_service_in_the_same_loop_is_not_told_of_it(serve: Any, logged: Any) -> None:
    served, other = await serve(service()), await serve(service())
    await served.client.get("/v1/leave/60")
    report, names = await stopped(other, logged)
    assert (names, report["tasks"]) == ([], 0)
