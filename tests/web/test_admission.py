"""What begins, what waits and what is refused: in a simulated loop, whose time is virtual; then over real sockets."""

import asyncio
import time
from typing import Any

import pytest
from loop_simulation import Answers, Dependency, Simulation
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from strict_client import request_bytes

from lmservice import Service
from lmservice.web.admission import pattern

COMPUTING = 0.002
CAN_COMPUTE = 490
"""What a loop can do of it, in answers a second."""
CAN_ASK = 1000
"""What a dependency can do that serves ten at once, 10 ms each."""


def computing(load: float, seconds: float = 20, seed: int = 1) -> Answers:
    simulation = Simulation(seed)
    answers = simulation.route("/compute", COMPUTING)
    simulation.load("/compute", load * CAN_COMPUTE, 0, seconds)
    simulation.run(seconds)
    return answers


def asking(load: float, seconds: float = 20, seed: int = 1) -> Answers:
    simulation = Simulation(seed)
    answers = simulation.route("/ask", 0.00005, Dependency(10, 0.01))
    simulation.load("/ask", load * CAN_ASK, 0, seconds)
    simulation.run(seconds)
    return answers


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("run", [computing, asking])
def test_at_nine_tenths_of_what_can_be_done_not_one_in_a_thousand_is_refused(run: Any, seed: int) -> None:
    answers = run(0.9, 40, seed)
    assert answers.refused(0) < answers.offered / 1000


@pytest.mark.parametrize(("run", "can"), [(computing, CAN_COMPUTE), (asking, CAN_ASK)])
@pytest.mark.parametrize("load", [1.2, 2, 4])
def test_when_more_come_than_can_be_served_the_service_keeps_its_best(run: Any, can: int, load: float) -> None:
    usual = run(0.7).quantile(0.99, 1)
    answers = run(load)
    assert answers.useful(1, 20) > 0.95 * can
    assert answers.quantile(0.99, 1) < (4 if load >= 2 else 5) * usual


@pytest.mark.parametrize(("path", "can"), [("/compute", CAN_COMPUTE), ("/ask", CAN_ASK)])
def test_two_seconds_after_an_overload_nothing_is_refused(path: str, can: int) -> None:
    simulation = Simulation()
    answers = simulation.route("/compute", COMPUTING)
    simulation.answers["/ask"] = simulation.route("/ask", 0.00005, Dependency(10, 0.01))
    answers = simulation.answers[path]
    simulation.load(path, 4 * can, 0, 4)
    simulation.load(path, can / 2, 4, 10)
    simulation.run(10)
    assert answers.refused(2, 4) > 2 * can
    assert answers.refused(6) == 0


def test_a_dependency_that_gets_ten_times_slower_is_used_as_well_as_can_be_and_recovers() -> None:
    simulation = Simulation()
    dependency = Dependency(10, 0.01)
    answers = simulation.route("/ask", 0.00005, dependency)
    simulation.load("/ask", 900, 0, 16)
    simulation.at(3, lambda: setattr(dependency, "seconds", 0.1))
    simulation.at(10, lambda: setattr(dependency, "seconds", 0.01))
    simulation.run(16)
    assert answers.useful(5, 10) > 90
    assert answers.useful(11, 16) > 850
    assert answers.refused(12) == 0


def test_a_dependency_that_is_slower_but_serves_any_number_is_found_out() -> None:
    simulation = Simulation()
    dependency = Dependency(100_000, 0.01)
    answers = simulation.route("/ask", 0.00005, dependency)
    simulation.load("/ask", 200, 0, 30)
    simulation.at(3, lambda: setattr(dependency, "seconds", 0.9))
    simulation.run(30)
    assert answers.refused(15) == 0


def test_a_slow_route_does_not_starve_a_fast_one() -> None:
    simulation = Simulation()
    slow = simulation.route("/slow", 0.0001, Dependency(10, 0.1))
    fast = simulation.route("/fast", 0.0005)
    simulation.load("/slow", 300, 0, 20)
    simulation.load("/fast", 500, 0, 20)
    simulation.run(20)
    assert fast.refused(0) == 0
    assert fast.quantile(0.99, 1) < 0.01
    assert slow.useful(5, 20) > 80


def test_a_burst_that_is_soon_over_is_served() -> None:
    simulation = Simulation()
    answers = simulation.route("/compute", COMPUTING)
    simulation.load("/compute", 100, 0, 5)
    simulation.burst("/compute", 80, 2)
    simulation.run(5)
    assert answers.refused(0) == 0


def test_a_thousand_at_once_are_served_where_each_takes_next_to_nothing() -> None:
    simulation = Simulation()
    answers = simulation.route("/hello", 0.00003)
    for number in range(50):
        simulation.burst("/hello", 900, number * 0.1)
    simulation.run(6)
    assert answers.refused(0) == 0


def test_ten_are_always_let_in() -> None:
    simulation = Simulation()
    answers = simulation.route("/report", 0.4)
    for number in range(5):
        simulation.burst("/report", 10, number * 5)
    simulation.run(30)
    assert answers.refused(0) == 0


def test_a_long_poll_is_not_limited() -> None:
    simulation = Simulation()
    polls = simulation.route("/poll", 0.00005, Dependency(100_000, 1.5))
    simulation.load("/poll", 200, 0, 20)
    simulation.run(20)
    assert polls.refused(0) == 0


def test_what_is_to_be_shed_first_goes_before_the_rest_and_what_is_to_be_shed_last_behind_it() -> None:
    simulation = Simulation(shed_first=["/trips"], shed_last=["/pay/{order}"])
    first, rest, last = (simulation.route(path, COMPUTING) for path in ("/trips", "/flights", "/pay/7"))
    for path, rate in (("/trips", 400), ("/flights", 250), ("/pay/7", 150)):
        simulation.load(path, rate, 0, 20)
    simulation.run(20)
    shares = [answers.refused(1) / answers.offered for answers in (first, rest, last)]
    assert shares[0] > 0.6
    assert shares[1] < 0.15
    assert shares[2] < 0.01


@pytest.mark.parametrize(
    ("template", "path", "fits"),
    [
        ("/trips", "/trips", True),
        ("/trips", "/trips/7", False),
        ("/a.b", "/aXb", False),
        ("/hello/{name}", "/hello/world", True),
        ("/hello/{name}/x", "/hello/world/x", True),
        ("/hello/{name}/x", "/hello/a/b/x", False),
        ("/files/{path}", "/files/a/b", True),
    ],
)
def test_a_path_is_known_by_its_template(template: str, path: str, *, fits: bool) -> None:
    assert bool(pattern(template).fullmatch(path)) is fits


class Busy:
    """A service whose handler keeps the loop for a while."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.begun = 0
        self.seconds = seconds

    async def compute(self, _: Request) -> Response:
        self.begun += 1
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            pass
        return PlainTextResponse("computed")

    def service(self) -> Service:
        return Service("busy", routes=[Route("/compute", self.compute, methods=["GET", "POST"])])


async def flood(connect: Any, port: int, count: int, request: bytes) -> list[Any]:
    connections = [await connect(port) for _ in range(count)]
    return list(await asyncio.gather(*(connection.request(request, timeout=20) for connection in connections)))


@pytest.mark.anyio
async def test_what_is_refused_is_told_when_to_come_back_and_counted_and_has_one_line_in_all(
    serve: Any, connect: Any, logged: Any
) -> None:
    served = await serve(Busy(0.02).service(), concurrency="adaptive")
    request = request_bytes("/compute", headers={"X-Request-ID": "mine"})
    assert {response.status for response in await flood(connect, served.port, 12, request)} == {200}
    responses = await flood(connect, served.port, 100, request)
    refused = [response for response in responses if response.status == 503]
    assert {response.status for response in responses} == {200, 503}
    assert {response.headers["retry-after"] for response in refused} <= {"1", "2", "3"}
    assert {response.headers["content-type"] for response in refused} == {"application/problem+json"}
    assert {response.headers["x-request-id"] for response in refused} == {"mine"}
    assert b'"request_id":"mine"' in refused[0].body
    metrics = await served.metrics()
    assert metrics['lmservice_requests_rejected_total{reason="overload"}'] == len(refused)
    assert metrics["lmservice_concurrency_limit"] >= 10
    (line,) = logged("lmservice.overloaded")
    assert line["refused"] >= 1
    assert all(answered["status"] == 200 for answered in logged("http.request"))
    assert (await flood(connect, served.port, 1, request))[0].status == 200


@pytest.mark.anyio
async def test_a_request_with_a_body_is_refused_too(serve: Any, connect: Any) -> None:
    served = await serve(Busy(0.02).service(), concurrency="adaptive")
    request = request_bytes("/compute", method="POST", body=b"x" * 100)
    await flood(connect, served.port, 12, request)
    responses = await flood(connect, served.port, 100, request)
    refused = [response for response in responses if response.status == 503]
    assert refused
    assert {response.headers["retry-after"] for response in refused} <= {"1", "2", "3"}
    metrics = await served.metrics()
    assert metrics['lmservice_requests_rejected_total{reason="overload"}'] == len(refused)


@pytest.mark.anyio
async def test_a_fixed_limit_refuses_nothing_below_it(serve: Any, connect: Any) -> None:
    busy = Busy(0.01)
    served = await serve(busy.service(), concurrency="fixed")
    await flood(connect, served.port, 12, request_bytes("/compute"))
    responses = await flood(connect, served.port, 100, request_bytes("/compute"))
    assert [response.status for response in responses] == [200] * 100


@pytest.mark.anyio
async def test_a_request_whose_client_has_gone_before_its_turn_is_not_run(
    serve: Any, connect: Any, logged: Any
) -> None:
    busy = Busy(0.05)
    served = await serve(busy.service(), concurrency="adaptive")
    streams = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(20)]
    for _, writer in streams:
        writer.write(request_bytes("/compute"))
    await asyncio.sleep(0.15)
    for _, writer in streams:
        writer.transport.abort()
    assert (await flood(connect, served.port, 1, request_bytes("/compute")))[0].status == 200
    gone = (await served.metrics())['lmservice_requests_rejected_total{reason="gone"}']
    assert gone > 0
    assert busy.begun == 21 - gone
    assert [line["status"] for line in logged("http.request")].count(499) >= gone


@pytest.mark.anyio
async def test_a_request_that_waited_past_its_callers_deadline_is_not_run(serve: Any, connect: Any) -> None:
    busy = Busy(0.05)
    served = await serve(busy.service(), concurrency="adaptive")
    request = request_bytes("/compute", headers={"X-Envoy-Expected-Rq-Timeout-Ms": "300"})
    responses = await flood(connect, served.port, 20, request)
    late = [response for response in responses if response.status == 504]
    assert late
    assert busy.begun == len([response for response in responses if response.status == 200])


@pytest.mark.anyio
async def test_a_client_that_ends_its_side_with_its_request_is_answered(serve: Any) -> None:
    served = await serve(Busy(0.01).service(), concurrency="adaptive")

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(request_bytes("/compute"))
        writer.write_eof()
        return await reader.read()

    answers = await asyncio.gather(*(ask() for _ in range(15)))
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
