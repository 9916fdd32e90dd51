"""What a developer's terminal shows: links, the jobs as they go, folded tracebacks, and a failed start's reason."""

import re
import urllib.error
import urllib.request
from typing import Any

PROGRAM = """
from fastapi import FastAPI
from starlette.responses import JSONResponse
from lmservice import Service

app = FastAPI()

@app.get("/broken")
async def broken() -> None:
    raise ValueError("broken by hand")

service = Service("shop", app=app)

@service.startup_job
async def database(state): ...
"""
FAILING = """
from lmservice import Service
service = Service("shop", routes=[])

@service.startup_job
async def database(state):
    raise ConnectionError('no "db" at postgresql://u:geheim@db\\nline two')
"""
TERMINAL = {"LM_LOG_FORMAT": "console", "LM_PORT": "0", "LM_MANAGEMENT_PORT": "0"}


def text_of(process: Any) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(process.output))


def wait_for(process: Any, word: str) -> str:
    process._until(lambda: word in text_of(process) or None, word, 30)
    return text_of(process)


def port_of(text: str, name: str) -> str:
    return re.search(rf"^  {name} +http://localhost:(\d+)", text, re.MULTILINE)[1]  # type: ignore[index]


def test_the_first_lines_are_links_to_the_service_its_console_and_its_documents(start_process: Any) -> None:
    process = start_process(PROGRAM, settings=TERMINAL)
    text = wait_for(process, "lmservice.ready")
    lines = text.splitlines()
    port, management = port_of(text, "shop"), port_of(text, "console")
    assert lines[:4] == [
        f"  shop       http://localhost:{port}",
        f"  console    http://localhost:{management}",
        f"  documents  http://localhost:{port}/docs",
        "",
    ]
    assert "0.0.0.0" not in text
    assert "[::]" not in text


def test_the_jobs_of_the_start_show_as_they_go(start_process: Any) -> None:
    text = wait_for(start_process(PROGRAM, settings=TERMINAL), "lmservice.ready")
    begun, done = text.index("lmservice.startup_job_begun"), text.index("lmservice.startup_job_done")
    assert begun < done < text.index("lmservice.ready")


def test_a_log_for_programs_has_neither(start_process: Any) -> None:
    process = start_process(PROGRAM)
    process.event("lmservice.ready")
    assert all(line.startswith("{") for line in process.output)
    assert "startup_job" not in "".join(event["event"] for event in process.logs)


def test_an_error_shows_own_code_and_folds_the_rest(start_process: Any) -> None:
    process = start_process(PROGRAM, settings=TERMINAL)
    port = port_of(wait_for(process, "lmservice.ready"), "shop")
    try:
        urllib.request.urlopen(f"http://localhost:{port}/broken", timeout=30)
    except urllib.error.HTTPError as error:
        error.close()
    text = wait_for(process, "ValueError: broken by hand\n")
    assert re.search(r"^    … \d+ frames of lmservice, fastapi, starlette$", text, re.MULTILINE)
    assert "> File " in text
    assert "site-packages" not in text


def test_a_failed_start_ends_with_its_reason_unescaped_and_without_a_password(start_process: Any) -> None:
    process = start_process(FAILING, settings=TERMINAL)
    assert process.wait() == 3
    assert process.output[-2:] == [
        "lmservice: start-up job 'database' failed: ConnectionError: no \"db\" at postgresql://u:********@db",
        "line two",
    ]
    assert "geheim" not in text_of(process)


def test_several_workers_end_with_their_reason_as_well(start_process: Any) -> None:
    process = start_process(FAILING, settings={**TERMINAL, "LM_WORKERS": "2"})
    assert process.wait() == 3
    assert any(line.startswith("lmservice: worker ") for line in process.output[-4:])
