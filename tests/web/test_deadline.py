"""How long a caller says that it waits, and what becomes of a request that takes longer."""

import asyncio
import time
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from strict_client import request_bytes

from lmservice import Service
from lmservice.web.deadline import expected_wait

pytestmark = pytest.mark.anyio
ENVOY = "X-Envoy-Expected-Rq-Timeout-Ms"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"x-envoy-expected-rq-timeout-ms": b"1500"}, 1.5),
        ({b"x-envoy-expected-rq-timeout-ms": b"0"}, 0.0),
        ({b"x-envoy-expected-rq-timeout-ms": b"1.5"}, None),
        ({b"x-envoy-expected-rq-timeout-ms": b"-5"}, None),
        ({b"x-envoy-expected-rq-timeout-ms": b"soon"}, None),
        ({b"x-envoy-expected-rq-timeout-ms": b"9" * 5000}, None),
        ({b"x-envoy-expected-rq-timeout-ms": "\u0661".encode()}, None),
        ({b"grpc-timeout": b"2H"}, 7200.0),
        ({b"grpc-timeout": b"3M"}, 180.0),
        ({b"grpc-timeout": b"4S"}, 4.0),
        ({b"grpc-timeout": b"250m"}, 0.25),
        ({b"grpc-timeout": b"250000u"}, 0.25),
        ({b"grpc-timeout": b"99999999n"}, 0.099999999),
        ({b"grpc-timeout": b"123456789m"}, None),
        ({b"grpc-timeout": b"5"}, None),
        ({b"grpc-timeout": b"S"}, None),
        ({b"grpc-timeout": b"1S", b"x-envoy-expected-rq-timeout-ms": b"1500"}, 1.0),
        ({b"grpc-timeout": b"1x", b"x-envoy-expected-rq-timeout-ms": b"1500"}, 1.5),
    ],
)
def test_a_callers_wait_is_the_shortest_that_it_says_in_numbers(
    headers: dict[bytes, bytes], seconds: float | None
) -> None:
    assert expected_wait(headers) == (pytest.approx(seconds) if seconds is not None else None)


class Slow:
    """A service whose handlers tell what they are told, or take their time."""

    def __init__(self) -> None:
        self.begun = 0

    def service(self) -> Service:
        return Service(
            "slow", routes=[Route("/left", self.left), Route("/sleep", self.sleep), Route("/stream", self.stream)]
        )

    async def left(self, request: Request) -> Response:
        self.begun += 1
        deadline = request.state.deadline
        return JSONResponse(None if deadline is None else deadline - time.monotonic())

    async def sleep(self, _: Request) -> Response:
        self.begun += 1
        await asyncio.sleep(30)
        return PlainTextResponse("late")

    async def stream(self, _: Request) -> Response:
        async def parts() -> Any:
            yield b"one"
            await asyncio.sleep(0.3)
            yield b"two"

        return StreamingResponse(parts())


async def test_a_handler_can_read_by_when_it_must_answer(serve: Any) -> None:
    served = await serve(Slow().service(), request_timeout=5)
    assert 4 < (await served.client.get("/left")).json() <= 5
    assert 0.5 < (await served.client.get("/left", headers={ENVOY: "1000"})).json() <= 1
    assert 4 < (await served.client.get("/left", headers={ENVOY: "60000"})).json() <= 5
    assert 4 < (await served.client.get("/left", headers={ENVOY: "soon"})).json() <= 5


async def test_without_limits_there_is_no_deadline(serve: Any) -> None:
    served = await serve(Slow().service(), request_timeout=0)
    assert (await served.client.get("/left")).json() is None
    assert 0 < (await served.client.get("/left", headers={"grpc-timeout": "1S"})).json() <= 1
    assert (await served.client.get("/left", headers={ENVOY: "9" * 15})).status_code == 200


async def test_a_request_ends_when_its_caller_waits_no_longer(serve: Any, connect: Any) -> None:
    served = await serve(Slow().service())
    connection = await connect(served.port)
    began = time.monotonic()
    response = await connection.request(request_bytes("/sleep", headers={ENVOY: "200"}), timeout=5)
    assert response.status == 504
    assert 0.19 < time.monotonic() - began < 1
    metrics = await served.metrics()
    assert metrics['lmservice_requests_rejected_total{reason="deadline"}'] == 1
    assert metrics['lmservice_requests_rejected_total{reason="timeout"}'] == 0
    assert (await connection.request(request_bytes("/left"))).status == 200


async def test_a_deadline_ends_with_the_responses_head(serve: Any, connect: Any) -> None:
    served = await serve(Slow().service())
    connection = await connect(served.port)
    response = await connection.request(request_bytes("/stream", headers={ENVOY: "100"}), timeout=5)
    assert (response.status, response.body) == (200, b"onetwo")
    assert (await served.metrics())['lmservice_requests_rejected_total{reason="deadline"}'] == 0


async def test_a_request_whose_time_is_over_is_not_begun(serve: Any, connect: Any) -> None:
    slow = Slow()
    served = await serve(slow.service())
    connection = await connect(served.port)
    assert (await connection.request(request_bytes("/left", headers={"grpc-timeout": "0m"}))).status == 504
    assert slow.begun == 0
    assert (await served.metrics())['lmservice_requests_rejected_total{reason="deadline"}'] == 1
