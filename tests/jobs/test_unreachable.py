import asyncio
import socket

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest
import redis.asyncio
import uvloop

from lmservice import Service
from lmservice.errors import StartError
from lmservice.jobs.startup import Startup
from lmservice.jobs.unreachable import missing_address


@pytest.fixture
def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


async def by_asyncio(port: int) -> None:
    await asyncio.open_connection("localhost", port)


async def by_asyncpg(port: int) -> None:
    await asyncpg.connect(f"postgresql://user:secret@localhost:{port}/shop")


async def by_httpx(port: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"http://localhost:{port}/")


async def by_redis(port: int) -> None:
    await redis.asyncio.from_url(f"redis://localhost:{port}").ping()


async def by_socket(port: int) -> None:
    socket.create_connection(("localhost", port))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("connect", [by_asyncio, by_asyncpg, by_httpx, by_redis, by_socket])
def test_a_refused_connection_names_host_and_port(closed_port: int, connect: object, run: object) -> None:
    async def database() -> None:
        await connect(closed_port)  # type: ignore[operator]

    async def start() -> None:
        service = Service("refused", routes=[])
        service.startup_job(attempts=2)(database)
        await Startup(service.jobs, {}).run(10)

    with pytest.raises(StartError) as raised:
        run(start())  # type: ignore[operator]
    message = str(raised.value)
    assert "localhost" in message
    assert str(closed_port) in message
    assert "secret" not in message


def test_a_name_that_is_not_there_is_told_too() -> None:
    with pytest.raises(socket.gaierror) as raised:
        socket.create_connection(("nowhere.invalid", 5432))
    assert missing_address(raised.value) == " (nowhere.invalid:5432)"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    def connect(host: str, port: int) -> None:
        raise ConnectionRefusedError(f"{host[0]}{port}")

    with pytest.raises(ConnectionRefusedError) as raised:
        connect("::1", 5432)
    assert missing_address(raised.value) == " ([::1]:5432)"


def test_what_failed_otherwise_and_what_names_it_itself_stay_as_they_are() -> None:
    host, port = "db", 5432
    for error in (ValueError("wrong"), ConnectionError(f"no {host} on {port}")):
        with pytest.raises(type(error)) as raised:
            raise error
        assert missing_address(raised.value) == ""


def test_errors_that_come_from_each_other_end() -> None:
    one, other = ConnectionError("one"), ConnectionError("other")
    one.__context__, other.__context__ = other, one
    assert missing_address(one) == ""
