"""What comes behind a request while it is answered: in its order, whole, and no more of it than is needed."""

import asyncio
from typing import Any

import pytest
from wire import Wire, echo

pytestmark = pytest.mark.anyio

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
HANDSHAKE = b"GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Taken:
    """Stands for the WebSockets of a listener."""

    connections: tuple[Any, ...] = ()
    tasks: frozenset[Any] = frozenset()

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def available(self) -> bool:
        return True

    def begin(self, transport: Any, head: bytes) -> None:
        transport.write(b"[websocket]")
        self.heads.append(head)


async def waiting_for_the_end(scope: Any, receive: Any, send: Any, connection: object = None) -> None:
    """A stream whose app waits for its client to leave."""
    if scope["path"] != "/stream":
        await echo(scope, receive, send, connection)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_a_body_that_waits_unparsed_behind_many_requests_reaches_its_own() -> None:
    wire = Wire()
    body = b"x" * 40_000
    post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    await wire.feed(GET * 18 + post + GET)
    await wire.settle()
    assert wire.statuses == [200] * 20
    assert [len(seen[-1]) for seen in wire.seen] == [0] * 18 + [len(body), 0]
    await wire.close()


async def test_a_stream_that_watches_its_client_takes_in_no_flood() -> None:
    wire = Wire(waiting_for_the_end)
    await wire.feed(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + GET * 2000)
    assert wire.transport.paused
    await wire.close()


@pytest.mark.parametrize("request_line", [b"HEAD /a", b"GET /204"])
async def test_an_answer_without_a_body_is_sent_though_the_client_ends_in_the_same_moment(request_line: bytes) -> None:
    wire = Wire(_bodiless)
    wire.connection.data_received(request_line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(0)
    wire.end()
    await wire.settle()
    assert len(wire.statuses) == 1
    await wire.close()


async def _bodiless(scope: Any, _receive: Any, send: Any, _connection: object = None) -> None:
    await send({"type": "http.response.start", "status": int(scope["path"][1:] == "204") * 4 + 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_204_whose_app_says_no_more_is_sent() -> None:
    async def app(_scope: Any, _receive: Any, send: Any, _connection: object = None) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    wire = Wire(app)
    await wire.feed(GET)
    await wire.settle()
    assert wire.statuses == [204]
    await wire.close()


async def test_a_websocket_writes_behind_the_head_of_the_answer_before_it() -> None:
    wire = Wire(_bodiless)
    wire.listener.websockets = Taken()  # type: ignore[assignment]
    await wire.feed(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n" + HANDSHAKE)
    await wire.settle()
    assert wire.transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.transport.written.endswith(b"\r\n\r\n[websocket]")
    await wire.close()


async def test_a_websocket_gets_all_that_came_behind_its_handshake() -> None:
    wire = Wire()
    taken = wire.listener.websockets = Taken()  # type: ignore[assignment]
    frames = bytes(range(256)) * 200
    await wire.feed(HANDSHAKE + frames)
    assert [head.partition(b"\r\n\r\n")[2] for head in taken.heads] == [frames]
    await wire.close()


async def test_a_websocket_behind_many_requests_gets_what_came_behind_its_handshake_once() -> None:
    wire = Wire()
    taken = wire.listener.websockets = Taken()  # type: ignore[assignment]
    await wire.feed(GET * 600 + HANDSHAKE + b"frame")
    await wire.settle()
    assert len(wire.seen) == 600
    assert [head.partition(b"\r\n\r\n")[2] for head in taken.heads] == [b"frame"]
    await wire.close()


@pytest.mark.parametrize("target", [b"/", b"/a:80", b"a:80", b"*"])
async def test_connect_is_refused_whatever_its_target_and_nothing_behind_it_is_served(target: bytes) -> None:
    wire = Wire()
    await wire.feed(b"CONNECT " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n" + GET + GET)
    await wire.settle()
    assert wire.statuses == [501]
    assert not wire.seen
    await wire.close()
