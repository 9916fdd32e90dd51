"""What clients do to a connection, on real sockets and both loops, and what they get for it."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wire_program
from processes import ServiceProcess
from strict_client import AsyncConnection, Connection, ExchangeError, request_bytes
from wire_program import done, new_service

pytestmark = pytest.mark.anyio
PROGRAM = Path(wire_program.__file__)
CLOSE = {"Connection": "close"}
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}


async def say(port: int, data: bytes, *, half_close: bool = False) -> bytes:
    """All that comes for these bytes, until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if half_close:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


@pytest.mark.parametrize("method", ["GET", "POST", "QUERY"])
@pytest.mark.parametrize("offer", ["h2c", "TLS/1.2", "IRC/6.9, foo"])
async def test_an_offer_to_upgrade_is_declined_and_the_request_served_with_its_body(
    serve: Any, connect: Any, method: str, offer: str
) -> None:
    served = await serve(new_service())
    connection = await connect(served.port)
    for _ in range(2):
        headers = {**H2C, "Upgrade": offer}
        response = await connection.request(request_bytes("/echo", method=method, body=b"hello", headers=headers))
        assert (response.status, response.body) == (200, f"{method} 5".encode())
    assert (await connection.request(request_bytes("/echo"))).body == b"GET 0"


async def test_an_offer_to_upgrade_costs_the_management_listener_nothing_either(serve: Any) -> None:
    served = await serve(new_service())
    port = served.management.base_url.port
    connection = await AsyncConnection.open(port)
    body = b'{"level": "DEBUG", "duration": 1}'
    response = await connection.request(request_bytes("/loggers/some", method="PUT", body=body, headers=H2C))
    connection.close()
    assert response.status == 200


@pytest.mark.parametrize(
    ("path", "end"), [("/echo", b"POST 5"), ("/slow", b"slow"), ("/stream", b"\r\n0\r\n\r\n"), ("/nonesuch", b"}")]
)
@pytest.mark.parametrize("headers", [{}, CLOSE])
async def test_a_client_that_has_said_all_it_has_to_say_gets_its_answer(
    serve: Any, path: str, end: bytes, headers: dict[str, str], logged: Any
) -> None:
    """RFC 9112 9.6: a half-closed connection is not a closed one."""
    served = await serve(new_service())
    request = request_bytes(path, method="POST", body=b"hello", headers=headers)
    answer = await say(served.port, request, half_close=True)
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
    assert answer.endswith(end)
    assert [line["status"] for line in logged("http.request")] in ([200], [404])


async def test_a_client_that_ends_in_the_middle_of_its_body_is_left(serve: Any, logged: Any) -> None:
    served = await serve(new_service())
    request = request_bytes("/echo", method="POST", body=b"hello")
    assert await say(served.port, request[:-2], half_close=True) == b""
    assert [line["status"] for line in logged("http.request")] == [499]
    assert [line for line in logged() if line["level"] == "error"] == []


async def test_pipelined_requests_of_a_half_closed_client_are_all_answered(serve: Any) -> None:
    served = await serve(new_service())
    answer = await say(served.port, request_bytes("/slow") * 3, half_close=True)
    assert answer.count(b"HTTP/1.1 200 ") == 3


async def test_a_half_closed_stop_gets_its_report(start_process: Callable[..., ServiceProcess]) -> None:
    process = start_process(PROGRAM).wait_ready()
    with socket.create_connection(("127.0.0.1", process.management_port), timeout=20) as sock:
        sock.sendall(request_bytes("/stop", method="POST"))
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"status":"stopped"' in answer
    assert process.wait() == 0


async def test_the_answer_to_head_ends_with_its_head_even_where_the_body_would_not_end(
    serve: Any, connect: Any
) -> None:
    served = await serve(new_service())
    connection = await connect(served.port)
    for path in ("/endless", "/stream", "/echo"):
        connection._transport.write(request_bytes(path, method="HEAD"))
        connection._transport.write(request_bytes("/echo"))
        head = await connection_head(connection)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (await connection.receive()).body == b"GET 0"
    report = await served.running.stop()
    assert report["exit_code"] == 0


async def connection_head(connection: AsyncConnection) -> bytes:
    """The head of an answer that has no body."""
    async with asyncio.timeout(2):
        while b"\r\n\r\n" not in connection._buffer:  # noqa: ASYNC110 - of a protocol that sets another event
            await asyncio.sleep(0.005)
    end = connection._buffer.index(b"\r\n\r\n") + 4
    head = bytes(connection._buffer[:end])
    del connection._buffer[:end]
    return head


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("body", [b"", b"x" * 200_000])
async def test_a_request_starts_from_the_listeners_context_whatever_those_before_it_did(
    start_process: Callable[..., ServiceProcess], loop: str, body: bytes
) -> None:
    process = start_process(PROGRAM, settings={"LM_LOOP": loop}).wait_ready()
    request = request_bytes("/bind", method="POST", body=body)
    with Connection(process.port) as connection:
        for requests in (1, 1, 2):
            connection.send(request * requests)
            assert [connection.receive().body for _ in range(requests)] == [b"nobody"] * requests
    process.stop()


async def test_an_absolute_target_is_served_as_what_it_names(serve: Any, connect: Any) -> None:
    served = await serve(new_service())
    connection = await connect(served.port)
    response = await connection.request(request_bytes("http://shop.example:8080/where?a=b"))
    assert response.body == b'{"url":"http://shop.example:8080/where?a=b","host":"shop.example:8080"}'


async def rejected(served: Any, reason: str) -> float:
    return float((await served.metrics())[f'lmservice_requests_rejected_total{{reason="{reason}"}}'])


@pytest.mark.parametrize(
    ("path", "headers", "status", "setting"),
    [
        ("/echo?" + "x" * 3000, {}, 414, b"LM_MAX_HEAD_SIZE"),
        ("/echo", {"X-Large": "x" * 3000}, 431, b"LM_MAX_HEAD_SIZE"),
        ("/echo", {f"X-{number}": "x" for number in range(30)}, 431, b"LM_MAX_HEADERS"),
    ],
)
async def test_a_head_beyond_its_limits_is_refused_by_name(
    serve: Any, path: str, headers: dict[str, str], status: int, setting: bytes, logged: Any
) -> None:
    served = await serve(new_service(), max_head_size=2048, max_headers=20)
    answer = await say(served.port, request_bytes(path, headers={"X-Request-ID": "mine", **headers}))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert setting in body
    assert await rejected(served, "head_size") == 1
    (line,) = logged("http.request")
    assert line["status"] == status
    assert len(line["path"]) <= 1024


async def test_a_head_of_just_its_limits_is_taken(serve: Any, connect: Any) -> None:
    served = await serve(new_service(), max_head_size=2048, max_headers=20)
    connection = await connect(served.port)
    bare = len(request_bytes("/echo", headers={"X-Large": ""}))
    assert (await connection.request(request_bytes("/echo", headers={"X-Large": "x" * (2048 - bare)}))).status == 200
    many = {f"X-{number}": "x" for number in range(19)}  # and Host
    assert (await connection.request(request_bytes("/echo", headers=many))).status == 200
    too_large = request_bytes("/echo", headers={"X-Large": "x" * (2049 - bare)})
    assert (await connection.request(too_large)).status == 431


async def test_a_client_that_takes_nothing_of_its_answer_is_let_go(serve: Any) -> None:
    served = await serve(new_service(), write_timeout=1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer.write(request_bytes("/large"))
    async with asyncio.timeout(10):
        while not await rejected(served, "write_timeout"):  # noqa: ASYNC110 - a metric sets no event
            await asyncio.sleep(0.1)
    with contextlib.suppress(ConnectionError):
        assert len(await reader.read()) < 16 << 20
    writer.close()


async def test_a_client_that_reads_slowly_is_waited_for(serve: Any) -> None:
    served = await serve(new_service(), write_timeout=1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=65536)
    writer.write(request_bytes("/large", headers=CLOSE))
    taken, began = 0, asyncio.get_running_loop().time()
    while part := await reader.read(400_000):
        taken += len(part)
        await asyncio.sleep(0.05)
    assert asyncio.get_running_loop().time() - began > 1.5
    assert taken > 16 << 20
    assert await rejected(served, "write_timeout") == 0
    writer.close()


async def test_a_connection_is_told_to_close_once_it_is_old_enough(serve: Any, connect: Any) -> None:
    served = await serve(new_service(), max_connection_age=0.5)
    connection = await connect(served.port)
    assert not (await connection.request(request_bytes("/echo"))).closes
    await asyncio.sleep(0.6)
    connection._transport.write(request_bytes("/echo") * 3)
    assert [(await connection.receive()).closes for _ in range(3)] == [False, False, True]


async def test_an_old_connection_that_nobody_uses_is_left_until_the_keep_alives_end(serve: Any, connect: Any) -> None:
    served = await serve(new_service(), max_connection_age=0.2, keep_alive_timeout=2)
    connection = await connect(served.port)
    await connection.request(request_bytes("/echo"))
    began = asyncio.get_running_loop().time()
    with pytest.raises(ExchangeError, match="closed"):
        await asyncio.wait_for(connection.receive(), 5)
    assert 1.5 < asyncio.get_running_loop().time() - began < 4


async def test_work_behind_an_answer_goes_on_while_the_next_request_is_served(serve: Any, connect: Any) -> None:
    done.clear()
    served = await serve(new_service())
    connection = await connect(served.port)
    assert (await connection.request(request_bytes("/behind"))).body == b"done"
    assert (await connection.request(request_bytes("/echo"))).body == b"GET 0"
    assert done == []
    await served.running.stop()
    assert done == ["late"]


async def test_a_client_that_answers_a_final_status_with_no_body_is_not_waited_for(serve: Any, connect: Any) -> None:
    """RFC 9110 10.1.1: who asked first, and was answered, need not send the body: what follows is no part of it."""
    served = await serve(new_service())
    connection = await connect(served.port)
    head = b"POST /nonesuch HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n"
    response = await connection.request(head)
    assert (response.status, response.closes) == (404, True)


FEW = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

async def ok(request):
    return PlainTextResponse("ok")

service = Service("few", routes=[Route("/", ok)])
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_clients_cannot_have_the_last_descriptors(
    start_process: Callable[..., ServiceProcess], loop: str
) -> None:
    process = start_process(FEW, settings={"LM_LOOP": loop, "LM_HEAD_TIMEOUT": "60"}).wait_ready()
    with contextlib.ExitStack() as open_connections:
        connections = [open_connections.enter_context(Connection(process.port)) for _ in range(5)]
        for _ in range(120):
            sock = open_connections.enter_context(socket.socket())
            sock.settimeout(1)
            sock.connect(("127.0.0.1", process.port))
        assert await asyncio.to_thread(process.probe, "/livez") == 200
        assert [each.request().body for each in connections] == [b"ok"] * 5
        statuses = []
        while 503 not in statuses:  # a probe's connection may have left its descriptor to one more
            statuses.append(open_connections.enter_context(Connection(process.port)).request().status)
            assert len(statuses) < 20
        metrics = process.manage("/metrics")[1]
    assert re.search(r'lmservice_connections_refused_total{reason="descriptors"} [1-9]', metrics)
    while True:  # until the service has seen that they are closed
        with Connection(process.port) as connection:
            if connection.request().status == 200:
                break
    process.stop()
    assert len([line for line in process.output if "lmservice.no_descriptors" in line]) == 1


HANDSHAKE = (
    b"GET /echo-socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x89\x80\x00\x00\x00\x00"  # masked, and empty


async def test_a_websocket_behind_a_request_waits_for_its_answer(serve: Any) -> None:
    served = await serve(new_service())
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(request_bytes("/slow") + HANDSHAKE)
    first = await asyncio.wait_for(reader.readuntil(b"slow"), 5)
    second = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 101 ")
    writer.write(PING)
    assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\x8a\x00"  # the pong
    writer.close()


def test_uvicorn_is_loaded_by_the_first_websocket_and_nothing_before(
    start_process: Callable[..., ServiceProcess],
) -> None:
    process = start_process(PROGRAM).wait_ready()
    with Connection(process.port) as connection, Connection(process.port) as websocket:
        assert connection.request("/loaded").body == b"False"
        websocket.send(HANDSHAKE)
        assert websocket.receive().status == 101
        assert connection.request("/loaded").body == b"True"
    process.stop()
