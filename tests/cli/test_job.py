"""`lmservice job`: one command of a service, in a process of its own."""

import signal
from pathlib import Path
from typing import Any

import pytest
from command import FREE, LMSERVICE, lmservice
from processes import Process

from lmservice import Service
from lmservice.errors import ServiceDefinitionError

PROGRAM = """
import asyncio
import time

from starlette.routing import Route

from lmservice import Service

service = Service("orders", routes=[])


@service.startup_job
async def database():
    print("opened", flush=True)
    yield "database"
    print("closed", flush=True)


@service.startup_job(after=["database"])
async def schema(state):
    return state.database + " schema"


@service.startup_job
async def cache():
    print("cache", flush=True)


@service.consumer_loop(concurrency=1)
async def orders(state, intake):
    print("consumed", flush=True)


@service.periodic_job(every=0.01)
async def often():
    print("periodic", flush=True)


@service.command(after=["schema"])
async def migrate(state, words):
    print("migrated", state.schema, words, flush=True)


@service.command(name="import", after=["database"])
def bring(state):
    print("imported into", state.database, flush=True)


@service.command(after=["database"])
async def broken():
    raise OSError("no space")


@service.command(after=["database"])
async def slow():
    print("slow", flush=True)
    await asyncio.sleep(SECONDS)
    print("ended", flush=True)


@service.startup_job
async def never():
    print("waits", flush=True)
    await asyncio.sleep(60)


@service.startup_job
async def fails():
    raise OSError("no database")


@service.command(after=["never"])
async def waits():
    pass


@service.command(after=["fails"])
async def fails_early():
    pass


@service.startup_job
async def sticky():
    yield
    raise OSError("not closed")


@service.command(after=["sticky"])
async def unclean():
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(PROGRAM.replace("SECONDS", "1.5"))
    return tmp_path


def printed(output: str) -> list[str]:
    return [line for line in output.splitlines() if not line.startswith("{")]


def test_a_command_runs_with_its_start_up_jobs_alone_and_their_clean_up(folder: Path) -> None:
    ended = lmservice("job", "hello:service", "migrate", "--to", "7", folder=folder)
    assert (ended.code, ended.errors) == (0, "")
    assert printed(ended.output) == ["opened", "migrated database schema ['--to', '7']", "closed"]


def test_a_plain_function_runs_too_under_a_name_of_its_own(folder: Path) -> None:
    ended = lmservice("job", "hello:service", "import", folder=folder)
    assert ended.code == 0
    assert printed(ended.output) == ["opened", "imported into database", "closed"]


def test_a_command_runs_beside_the_service_and_a_management_port_that_is_set_counts(folder: Path) -> None:
    ports = {"LM_LOG_FORMAT": "json"}
    with Process([LMSERVICE, "job", "hello:service", "slow"], folder=folder, settings=ports) as first:
        ended = lmservice("job", "hello:service", "import", folder=folder, settings=ports)
        assert first.wait() == ended.code == 0
    ended = lmservice("job", "hello:service", "import", folder=folder, settings={"LM_MANAGEMENT_PORT": "1"})
    assert ended.code in (0, 2)
    assert ":1" in ended.said


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("broken", 1, "OSError: no space"),
        ("fails_early", 3, "start-up job 'fails' failed: OSError: no database"),
        ("unclean", 70, "the clean-up of 'sticky' failed"),
    ],
)
def test_what_fails_has_a_code_of_its_own_and_is_named(folder: Path, command: str, code: int, said: str) -> None:
    ended = lmservice("job", "hello:service", command, folder=folder, settings=FREE)
    assert ended.code == code
    assert said in ended.output


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "which command? usage: lmservice job MODULE:SERVICE NAME [WORDS...]"),
        (["hello:service"], "which command? usage: lmservice job MODULE:SERVICE NAME [WORDS...]"),
        (["hello:service", "import", "x"], "command 'import' takes no words, as its function has no parameter 'words'"),
    ],
)
def test_bad_usage_is_told_in_a_line(folder: Path, words: list[str], problem: str) -> None:
    ended = lmservice("job", *words, folder=folder)
    assert (ended.code, ended.problems) == (2, [problem])


def test_an_unknown_command_is_told_with_those_that_there_are(folder: Path) -> None:
    problem = lmservice("job", "hello:service", "migarte", folder=folder).problem
    assert problem.startswith("service 'orders' has no command 'migarte': its commands are broken, fails_early, import")


def stopped(folder: Path, command: str, at: str, limit: str = "20") -> tuple[int, list[str]]:
    settings = {**FREE, "LM_DRAIN_TIMEOUT": limit, "LM_ENVIRONMENT": "qa"}
    with Process([LMSERVICE, "job", "hello:service", command], folder=folder, settings=settings) as process:
        while at not in process.output:
            assert process.running
        process.signal(signal.SIGTERM)
        return process.wait(), process.output


def test_sigterm_lets_a_command_end_within_the_drain_s_time(folder: Path) -> None:
    code, output = stopped(folder, "slow", "slow")
    assert code == 0
    assert printed("\n".join(output)) == ["opened", "slow", "ended", "closed"]


def test_a_command_that_outlives_it_is_cut_off(folder: Path) -> None:
    (folder / "hello.py").write_text(PROGRAM.replace("SECONDS", "60"))
    code, output = stopped(folder, "slow", "slow", "1")
    assert code == 70
    assert "command 'slow' was cut off by LM_DRAIN_TIMEOUT, 1 s" in "\n".join(output)
    assert printed("\n".join(output))[-1] == "closed"


def test_a_command_that_was_stopped_before_it_began_has_not_succeeded(folder: Path) -> None:
    code, output = stopped(folder, "waits", "waits")
    assert code == 70
    assert "command 'waits' was not run, as a stop came before it began" in "\n".join(output)


def test_two_commands_of_one_name_and_unknown_jobs_are_refused() -> None:
    service = Service("orders")

    @service.command(after=["databse"])
    async def migrate() -> None:
        pass

    with pytest.raises(ServiceDefinitionError, match="two commands are named 'migrate'"):
        service.command()(migrate)
    with pytest.raises(ServiceDefinitionError, match="command 'migrate' comes after 'databse', which is no start-up"):
        service.check()


def test_what_is_no_function_is_refused() -> None:
    async def stream() -> Any:
        yield 1

    with pytest.raises(ServiceDefinitionError, match="is an async generator"):
        Service("orders").command()(stream)
