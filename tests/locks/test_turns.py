"""Turns of periodic jobs, counted in real Redis and PostgreSQL servers, and without any."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import ServiceProcess, free_port
from redis_server import redis_server

from lmservice import Service, Settings
from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.turns import TurnTaker
from lmservice.locks import PostgresLock, RedisLock

pytestmark = pytest.mark.anyio


class LockSettings(Settings):
    redis_url: str = ""
    database_url: str = ""


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs PostgreSQL, as root")
    with tempfile.TemporaryDirectory(prefix="lmservice-") as folder:  # pytest's own is root's alone
        shutil.chown(folder, "postgres", "postgres")
        yield from served(folders[-1], Path(folder), free_port())


def served(tools: Path, folder: Path, port: int) -> Iterator[str]:
    """A PostgreSQL server of the test's own, as long as it is iterated."""
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        [*as_postgres, str(tools / "initdb"), "-A", "trust", "-N", str(data)], check=True, stdout=subprocess.DEVNULL
    )
    words = [*as_postgres, str(tools / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-F"]
    with subprocess.Popen([*words, "-c", "listen_addresses=127.0.0.1"], stderr=subprocess.PIPE, text=True) as server:
        assert any("ready to accept connections" in line for line in server.stderr or ())
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
        server.terminate()


@pytest.fixture(params=["redis", "postgres"])
async def turns(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "redis":
        yield RedisLock().turns(LockSettings(redis_url=request.getfixturevalue("redis_url")))
    else:
        yield PostgresLock().turns(LockSettings(database_url=request.getfixturevalue("database_url")))


async def test_of_many_at_once_one_begins_a_turn_the_first_ever_among_them(turns: Any) -> None:
    for turn in (7, 8, 1_700_000_000):
        assert sorted(await asyncio.gather(*(turns.begin("orders:many", turn) for _ in range(20)))) == [False] * 19 + [
            True
        ]


async def test_a_turn_that_has_passed_never_begins_again_and_jobs_do_not_hinder_each_other(turns: Any) -> None:
    assert await turns.begin("orders:one", 9)
    assert not await turns.begin("orders:one", 9)
    assert not await turns.begin("orders:one", 8)
    assert await turns.begin("orders:two", 8)
    assert await turns.begin("orders:one", 10)


@pytest.mark.parametrize(
    ("lock", "settings", "message"),
    [
        (RedisLock(), LockSettings(), "RedisLock needs a URL: set LM_REDIS_URL"),
        (PostgresLock(), LockSettings(), "PostgresLock needs a URL: set LM_DATABASE_URL"),
        (
            RedisLock("cache_url"),
            LockSettings(),
            "RedisLock reads the setting 'cache_url', which the service's Settings",
        ),
    ],
)
async def test_a_lock_without_a_url_ends_the_start(lock: Any, settings: Settings, message: str) -> None:
    service = Service("orders", routes=[], settings=LockSettings)

    @service.periodic_job(every=60, once=lock)
    async def sweep() -> None:
        pass

    with pytest.raises(ServiceDefinitionError, match=message):
        service.check(settings)


class Away:
    """A store that cannot be asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def begin(self, job: str, turn: int) -> bool:
        self.asked.append(turn)
        raise ConnectionRefusedError(job)


async def test_a_store_that_is_away_costs_the_turn_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    away = Away()
    taker = TurnTaker("orders:sweep", 0.05, away)
    assert not await taker.next()
    assert not await taker.next()
    assert away.asked[0] < away.asked[1]
    assert [record.message for record in caplog.records] == ["lmservice.periodic_job_lock_failed"] * 2


PROGRAM = """
import asyncio
import os
import time

from lmservice import Service, Settings
from lmservice.locks import RedisLock


class SweeperSettings(Settings):
    redis_url: str = ""


service = Service("sweeper", settings=SweeperSettings)


@service.periodic_job(every=0.5, once=RedisLock())
async def sweep():
    print("turn", int(time.time() / 0.5), flush=True)
    await asyncio.sleep(SECONDS)
    print("end", flush=True)
"""


def turns_of(process: ServiceProcess) -> list[int]:
    return [int(line.split()[1]) for line in list(process.output) if line.startswith("turn ")]


def test_of_three_instances_one_runs_each_turn_and_another_the_next_when_it_is_killed(redis_url: str) -> None:
    settings = {"LM_REDIS_URL": redis_url}
    program = PROGRAM.replace("SECONDS", "0.4")
    with (
        ServiceProcess(program, settings=settings) as one,
        ServiceProcess(program, settings=settings) as two,
        ServiceProcess(program, settings=settings) as three,
    ):
        for process in (one, two, three):
            process.wait_ready()
        one._until(lambda: len(turns_of(one) + turns_of(two) + turns_of(three)) >= 8 or None, "eight turns", 30)
        holder = max((one, two, three), key=lambda process: max(turns_of(process), default=0))
        before = max(turns_of(holder))
        holder._popen.kill()
        holder.wait()
        left = [process for process in (one, two, three) if process is not holder]
        left[0]._until(lambda: sum(len(turns_of(process)) for process in left) >= 4 or None, "four turns", 30)
        left[0]._until(lambda: max(turns_of(left[0]) + turns_of(left[1])) > before + 1 or None, "a turn after it", 30)
        for process in left:
            assert process.stop()["exit_code"] == 0
        turns = sorted(turns_of(one) + turns_of(two) + turns_of(three))
    assert len(turns) == len(set(turns)), "a turn began twice"
    assert turns[-1] - turns[0] + 1 - len(turns) <= 1, "turns were left out"
