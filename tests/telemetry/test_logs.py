"""One stream of logs: whoever speaks, one JSON object a line, and no way to forge one."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import structlog
from processes import TIMEOUT, ServiceProcess, environment
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from strict_client import AsyncConnection, Connection, request_bytes

from lmservice import Service, Settings
from lmservice.errors import MASK
from lmservice.telemetry.takeover import configured

pytestmark = pytest.mark.anyio
FIELDS = {"timestamp", "level", "logger", "event", "service", "version", "environment", "instance"}
IDS = {"request_id", "trace_id", "span_id"}
FORGERY = '{"level":"critical","event":"forged"}'
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
CONTROLS = ["\x00", "\x07", "\x08", "\x1b[2J\x1b[1A", "\x7f", "\x9b31m"]


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


ROUTES = [Route("/hello/{name:path}", hello)]


def settings(**given: Any) -> Settings:
    return Settings.load(environment="qa", instance="one", **given)


@pytest.fixture
def stream() -> Any:
    """Takes the process's logging over, in JSON, for one test."""
    with configured(settings(log_format="json", log_level="DEBUG"), "the-service", "1.2.3"):
        yield


@pytest.mark.usefixtures("stream")
def test_structlog_stdlib_and_warnings_come_out_in_one_form(logged: Any) -> None:
    structlog.get_logger("of.structlog").warning("spoken", number=1)
    logging.getLogger("of.stdlib").warning("spoken %s", "well", extra={"number": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("spoken", UserWarning, stacklevel=1)
    by_structlog, by_stdlib, by_warnings = logged()
    assert set(by_structlog) == set(by_stdlib) == FIELDS | {"number"}
    assert set(by_warnings) == FIELDS
    assert (by_structlog["event"], by_structlog["logger"]) == ("spoken", "of.structlog")
    assert (by_stdlib["event"], by_stdlib["logger"]) == ("spoken well", "of.stdlib")
    assert "UserWarning: spoken" in by_warnings["event"]
    for line in (by_structlog, by_stdlib, by_warnings):
        assert line["level"] == "warning"
        assert (line["service"], line["version"]) == ("the-service", "1.2.3")
        assert (line["environment"], line["instance"]) == ("qa", "one")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


@pytest.mark.usefixtures("stream")
async def test_what_is_bound_reaches_every_kind_of_logger_and_the_threads(logged: Any) -> None:
    with structlog.contextvars.bound_contextvars(user="ada", token="hunter2"):
        structlog.get_logger("of.structlog").warning("spoken")
        logging.getLogger("of.stdlib").warning("spoken")
        await asyncio.to_thread(logging.getLogger("of.asyncio").warning, "spoken")
        await anyio.to_thread.run_sync(logging.getLogger("of.anyio").warning, "spoken")
    logging.getLogger("after").warning("spoken")
    *inside, after = logged()
    assert [(line["user"], line["token"]) for line in inside] == [("ada", MASK)] * 4
    assert "user" not in after


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical", "exception", "fatal", "warn"])
def test_levels_have_the_names_of_the_standard_library(logged: Any, level: str) -> None:
    getattr(structlog.get_logger("log"), level)("by structlog")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(logging.getLogger("log"), level)("by stdlib")
    by_structlog, by_stdlib = logged()
    assert by_structlog["level"] == by_stdlib["level"]
    assert by_structlog["level"] in {"debug", "info", "warning", "error", "critical"}


@pytest.mark.usefixtures("stream")
def test_a_logger_bound_before_the_service_speaks_in_the_one_form_too(logged: Any) -> None:
    structlog.get_logger("log").bind(user="x").info("bound", number=2)
    (line,) = logged("bound")
    assert (line["user"], line["number"]) == ("x", 2)


@pytest.mark.usefixtures("stream")
def test_a_level_below_a_loggers_own_is_silent_for_both(logged: Any) -> None:
    logging.getLogger("quiet").setLevel("ERROR")
    try:
        structlog.get_logger("quiet").info("by structlog")
        logging.getLogger("quiet").info("by stdlib")
    finally:
        logging.getLogger("quiet").setLevel("NOTSET")
    assert logged() == []


@pytest.mark.usefixtures("stream")
def test_exceptions_come_with_their_stack_in_the_one_line(logged: Any) -> None:
    try:
        int("bad")
    except ValueError:
        structlog.get_logger("log").exception("by structlog")
        logging.getLogger("log").exception("by stdlib")
    for line in logged():
        assert line["level"] == "error"
        assert "Traceback" in line["exception"]
        assert "ValueError: invalid literal" in line["exception"]


@pytest.mark.usefixtures("stream")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_uncaught_exception_of_a_thread_is_a_line(logged: Any) -> None:
    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    (line,) = logged()
    assert line["level"] in {"error", "critical"}
    assert "ValueError: in a thread" in str(line)
    assert "worker" in str(line)


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize("speak", [structlog.get_logger, logging.getLogger], ids=["structlog", "stdlib"])
def test_what_is_named_like_a_secret_is_masked(logged: Any, speak: Callable[[str], Any]) -> None:
    values = {"password": "hunter2", "api_key": "hunter2", "Authorization": "hunter2", "db_token": "hunter2"}
    if speak is logging.getLogger:
        speak("log").info("login", extra=values)
    else:
        speak("log").info("login", **values)
    (line,) = logged("login")
    assert "hunter2" not in str(line)
    assert set(values) < set(line)


@pytest.mark.usefixtures("stream")
def test_a_secret_inside_another_value_is_masked(logged: Any) -> None:
    structlog.get_logger("log").info("login", user={"name": "x", "password": "hunter2"}, all=[{"token": "hunter2"}])
    (line,) = logged("login")
    assert "hunter2" not in str(line)
    assert line["user"]["name"] == "x"


@pytest.mark.usefixtures("stream")
def test_words_that_merely_sound_like_a_secret_are_shown(logged: Any) -> None:
    values = {"passengers": 3, "passed": 7, "compass": "N", "bypass": True, "keyboard": "qwerty", "author": "x"}
    structlog.get_logger("log").info("search", **values)
    (line,) = logged("search")
    assert {name: line[name] for name in values} == values


@pytest.mark.usefixtures("stream")
def test_a_value_cannot_take_the_place_of_the_contracts_fields(logged: Any) -> None:
    """As when a handler logs everything that a client sent: `log.info("search", **query)`."""
    forged = {"timestamp": "1970", "level": "critical", "service": "bank", "environment": "x", "instance": "x"}
    structlog.get_logger("log").info("search", **forged)
    logging.getLogger("log").info("search", extra=forged)
    for line in logged("search"):
        assert not {name for name, value in forged.items() if line[name] == value}


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize(
    "value",
    [
        "\udc80",
        b"\xff\x00",
        float("nan"),
        float("inf"),
        10**400,
        {1: {("a",): {2, 3}}},
        {"\udc80": "\ud800"},
        object(),
        Unprintable(),
        Path("/"),
        ValueError("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_the_value_there_is_one_line_and_the_others_keep_their_kind(logged: Any, value: Any) -> None:
    structlog.get_logger("log").info("odd", value=value, number=7)
    (line,) = logged("odd")
    assert line["number"] == 7
    assert set(line) > FIELDS


@pytest.mark.usefixtures("stream")
def test_a_value_that_holds_itself_is_one_line(logged: Any) -> None:
    around: list[Any] = []
    around.append(around)
    structlog.get_logger("log").info("odd", value=around)
    assert len(logged("odd")) == 1


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("where", ["event", "value", "nested", "key", "extra"])
@pytest.mark.parametrize("character", BREAKS + CONTROLS, ids=ascii)
def test_no_character_can_forge_a_line(
    capfd: pytest.CaptureFixture[str], format_: str, where: str, character: str
) -> None:
    text = f"before{character}{FORGERY}"
    speak: dict[str, Callable[[], Any]] = {
        "event": lambda: structlog.get_logger("log").info(text),
        "value": lambda: structlog.get_logger("log").info("spoken", value=text),
        "nested": lambda: structlog.get_logger("log").info("spoken", value={"inside": [text]}),
        "key": lambda: structlog.get_logger("log").info("spoken", **{text: 1}),
        "extra": lambda: logging.getLogger("log").info("spoken", extra={"value": text}),
    }
    with configured(settings(log_format=format_), "forgery", ""):
        speak[where]()
    line = capfd.readouterr().out.removesuffix("\n")
    assert len(line.splitlines()) == 1
    assert not set(line) & {*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029"}


@pytest.fixture(scope="module")
async def formats(serve_module: Any) -> dict[str, Any]:
    """A service that logs in each format."""
    service = Service("forgery", routes=ROUTES)
    return {each: await serve_module(service, log_format=each) for each in ("json", "console")}


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("character", BREAKS + CONTROLS, ids=ascii)
async def test_no_path_can_forge_a_line(
    formats: dict[str, Any], capfd: pytest.CaptureFixture[str], format_: str, character: str
) -> None:
    escaped = "".join(f"%{byte:02X}" for byte in f"{character}{FORGERY}".encode())
    connection = await AsyncConnection.open(formats[format_].port)
    await connection.request(request_bytes(f"/hello/x{escaped}"))
    connection.close()
    line = capfd.readouterr().out.removesuffix("\n")
    assert "http.request" in line
    assert len(line.splitlines()) == 1
    assert not set(line) & {*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029"}


async def test_a_path_and_headers_that_are_no_utf8_are_one_line(serve: Any, connect: Any, logged: Any) -> None:
    served = await serve(Service("odd", routes=ROUTES))
    connection = await connect(served.port)
    request = b"GET /hello/%ff%ed%b2%80 HTTP/1.1\r\nHost: localhost\r\nX-Odd: \xff\xfe\r\nX-Request-ID: \xff\r\n\r\n"
    assert (await connection.request(request)).status == 200
    (line,) = logged("http.request")
    assert line["status"] == 200


async def test_the_access_line_has_just_the_contracts_fields(serve: Any, logged: Any) -> None:
    served = await serve(Service("access", version="1.0", routes=ROUTES), instance="pod-1")
    await served.client.get("/hello/a/b?token=hunter2", headers={"X-Request-ID": "mine"})
    (line,) = logged("http.request")
    assert set(line) == FIELDS | IDS | {"method", "route", "path", "client", "status", "duration"}
    assert line["level"] == "info"
    assert (line["service"], line["version"], line["instance"]) == ("access", "1.0", "pod-1")
    assert (line["method"], line["route"], line["path"]) == ("GET", "/hello/{name}", "/hello/a/b")
    assert line["status"] == 200
    assert 0 < line["duration"] < 5
    assert "hunter2" not in str(line)


async def test_the_access_log_can_be_turned_off(serve: Any, logged: Any) -> None:
    served = await serve(Service("silent", routes=ROUTES), access_log=False)
    await served.client.get("/hello/a")
    assert logged("http.request") == []


async def test_probes_that_succeed_are_not_logged(serve: Any, logged: Any) -> None:
    served = await serve(Service("probed", routes=ROUTES))
    for path in ("/livez", "/startupz", "/readyz", "/metrics"):
        assert (await served.management.get(path)).status_code == 200
    assert {line["logger"] for line in logged()} <= {"lmservice.instance", "lmservice.server", "httpx", "httpcore"}


async def test_each_of_two_services_in_one_process_speaks_under_its_own_name(serve: Any, logged: Any) -> None:
    one = await serve(Service("one", routes=ROUTES))
    other = await serve(Service("other", routes=ROUTES))
    await one.client.get("/hello/a")
    assert logged("http.request")[-1]["service"] == "one"
    await one.close()
    await other.close()
    await one.running.stop()
    assert logged("lmservice.stopped")[-1]["service"] == "one"
    await other.running.stop()
    assert logged("lmservice.stopped")[-1]["service"] == "other"


IN_TURN = """
import asyncio, logging, sys, threading
from lmservice import Service
from lmservice.testing import running

def hooks():
    root = logging.getLogger()
    return root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook

async def main():
    one, other = (running(Service(name, routes=[]), log_format="json") for name in ("one", "other"))
    await one.__aenter__()
    await other.__aenter__()
    assert hooks() != before
    await one.__aexit__(None, None, None)
    logging.getLogger("still").warning("here")
    await other.__aexit__(None, None, None)

before = hooks()
asyncio.run(main())
assert hooks() == before
"""


def test_logging_is_put_back_as_it_was_after_the_last_service_in_whatever_order(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_TURN], cwd=tmp_path, env=environment({}), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [event["service"] for event in events if event["event"] == "lmservice.stopped"] == ["one", "other"]
    assert [event["service"] for event in events if event["event"] == "here"] == ["other"]


class Untellable:
    """A value whose text cannot be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize("speak", [structlog.get_logger, logging.getLogger], ids=["structlog", "stdlib"])
def test_no_log_call_raises(logged: Any, monkeypatch: pytest.MonkeyPatch, speak: Callable[[str], Any]) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", logging.getLogger().handlers[:1])  # pytest's own raise
    log = speak("log")
    log.warning("bad %s", Untellable())
    log.warning("%d %s", "wrong")  # noqa: PLE1206
    log.warning(Untellable())
    assert len(logged()) == 3


@pytest.mark.usefixtures("stream")
def test_a_secret_header_in_a_list_is_masked(logged: Any) -> None:
    headers = [("Authorization", "Bearer hunter2"), (b"cookie", b"hunter2"), ("accept", "text/html")]
    logging.getLogger("log").warning("spoken", extra={"headers": headers})
    (line,) = logged()
    assert line["headers"] == [["Authorization", MASK], ["cookie", MASK], ["accept", "text/html"]]


# Real processes.

PROGRAM = """
import asyncio, logging, threading, sys, warnings
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

async def hello(request):
    return PlainTextResponse("hello")

async def say(request):
    print("x" * 100)
    return PlainTextResponse("said")

async def close(request):
    sys.stdout.close()
    return PlainTextResponse("closed")

service = Service("logs", routes=[Route("/hello", hello), Route("/say", say), Route("/close", close)])

@service.startup_job()
async def speak(state):
    warnings.warn("a warning")
    logging.getLogger("log").info("%d and %s", "a wrong format")
    print("a print, which is the author's own")
    thread = threading.Thread(target=lambda: 1 / 0, name="worker")
    thread.start()
    thread.join()
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    asyncio.create_task(fail())
    await asyncio.sleep(0)

async def fail():
    raise LookupError("nobody awaits")
"""


def test_all_that_a_process_says_is_json_but_for_what_its_author_prints(start_process: Any) -> None:
    process: ServiceProcess = start_process(PROGRAM)
    process.wait_ready()
    process.stop()
    assert process.wait() == 0
    printed = [line for line in process.output if not line.startswith("{")]
    assert printed == ["a print, which is the author's own"]
    events = process.logs
    assert all(set(event) >= FIELDS for event in events)
    assert len([event for event in events if "ZeroDivisionError" in str(event)]) == 2
    assert len([event for event in events if "nobody awaits" in str(event)]) == 1
    assert len([event for event in events if "a warning" in str(event)]) == 1
    assert len([event for event in events if "a wrong format" in str(event)]) == 1


def test_an_instance_that_is_no_utf8_breaks_no_line(start_process: Any) -> None:
    process: ServiceProcess = start_process(PROGRAM, settings={"LM_INSTANCE": "\udcff\udcfe"}).wait_ready()
    with Connection(process.port) as connection:
        assert connection.request("/hello").status == 200
    assert process.manage("/metrics")[0] == 200
    assert process.event("http.request")["instance"] == process.event("lmservice.ready")["instance"]


def test_a_closed_stdout_breaks_no_request(start_process: Any) -> None:
    process: ServiceProcess = start_process(PROGRAM)
    process.wait_ready()
    with Connection(process.port) as connection:
        assert connection.request("/close").status == 200
        assert [connection.request("/hello").status for _ in range(5)] == [200] * 5
    assert process.stop()["status"] == "stopped"
    assert process.wait() == 0


def test_a_full_pipe_that_nobody_reads_breaks_no_request(tmp_path: Path) -> None:
    """Whoever collects the logs may be slow or hang; the pipe's 64 KiB are full after a few hundred lines."""
    (tmp_path / "program.py").write_text(PROGRAM)
    reading, writing = os.pipe()
    ports = {"LM_PORT": "0", "LM_MANAGEMENT_PORT": "0", "LM_LOG_FORMAT": "json"}
    command = [str(Path(sys.executable).with_name("lmservice")), "run", "program:service"]
    environ = {name: value for name, value in environment(ports).items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=writing) as process:
        try:
            os.close(writing)
            said = b""
            end = time.monotonic() + TIMEOUT
            while b"lmservice.ready" not in said and time.monotonic() < end:
                said += os.read(reading, 65536)
            listening = next(json.loads(line) for line in said.splitlines() if b"lmservice.listening" in line)
            with Connection(int(listening["url"].rpartition(":")[2]), timeout=3) as connection:
                assert {connection.request("/hello").status for _ in range(400)} == {200}
                assert {connection.request("/say").status for _ in range(20)} == {200}
        finally:
            process.kill()
            os.close(reading)
