"""An ordinary FastAPI app, before by uvicorn and after by lmservice: clients get the same, but for what is told."""

import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from processes import Process, ServiceProcess, free_port

ORDINARY = """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import BaseModel
from lmservice import Service


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "hello"}


class Item(BaseModel):
    name: str
    price: float


app = FastAPI(lifespan=lifespan)


@app.get("/greeting")
async def greeting(request: Request, name: str = "you") -> dict[str, str]:
    return {request.state.greeting: name}

@app.post("/items", status_code=201)
async def add(item: Item) -> Item:
    return item

@app.get("/items/{number}")
def item(number: int) -> Item:
    if number > 1:
        raise HTTPException(404, "no such item", headers={"x-items": "1"})
    return Item(name="pear", price=1.5)

@app.post("/upload")
async def upload(request: Request) -> int:
    return len(await request.body())

@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse((f"{number}\\n" for number in range(3)), media_type="text/plain")

@app.get("/cookie")
async def cookie(response: Response) -> None:
    response.set_cookie("seen", "yes")

@app.get("/away")
async def away(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("greeting"))

@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("on purpose")

service = Service("ordinary", app=app)
"""
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/greeting?name=ann", {}),
    ("HEAD", "/openapi.json", {}),
    ("GET", "/openapi.json", {}),
    ("GET", "/docs", {}),
    ("POST", "/items", {"json": {"name": "apple", "price": 1}}),
    ("POST", "/items", {"json": {"name": "apple"}}),
    ("POST", "/items", {"content": b"{"}),
    ("GET", "/items/1", {}),
    ("GET", "/items/2", {}),
    ("GET", "/items/x", {}),
    ("PUT", "/items/1", {}),
    ("POST", "/upload", {"content": b"x" * 10_000}),
    ("GET", "/stream", {}),
    ("GET", "/cookie", {}),
    ("GET", "/away", {}),
    ("GET", "/greeting/", {}),
    ("GET", "/nowhere", {}),
    ("OPTIONS", "/greeting", {}),
    ("GET", "/broken", {}),
]
TOLD = {"date", "server", "x-request-id"}
"""The headers of which docs/how-to/migrate.md says that they change, and the time."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of the app by uvicorn, and of the same app as a service."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "ordinary.py").write_text(ORDINARY)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "ordinary:app", "--port", str(port), "--no-access-log"]
    settings = {"LM_ENVIRONMENT": "production", "LM_DRAIN_DELAY": "0", "LM_DRAIN_QUIET": "0"}
    after = ServiceProcess(ORDINARY, folder=tmp_path_factory.mktemp("after"), settings=settings)
    with Process(command, folder=folder, settings={}) as before, after as service:
        service.wait_ready()
        due = time.monotonic() + 60
        while not _listens(port):
            assert before.running
            assert time.monotonic() < due
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", service.url


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answer(base: str, method: str, path: str, options: dict[str, Any]) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body, without what differs by the address asked."""
    headers = {"host": "shop.example"}
    if "content" in options:
        headers["content-type"] = "application/json"
    with httpx.Client(base_url=base, trust_env=False) as client:
        response = client.request(method, path, headers=headers, **options)
    kept = {name: value for name, value in response.headers.items() if name not in TOLD}
    return response.status_code, kept, response.text


@pytest.mark.parametrize(("method", "path", "options"), ASKED, ids=[f"{method} {path}" for method, path, _ in ASKED])
def test_a_client_gets_the_same_answer(
    servers: tuple[str, str], method: str, path: str, options: dict[str, Any]
) -> None:
    before, after = (_answer(base, method, path, options) for base in servers)
    assert before == after


def test_what_changes_is_what_is_told(servers: tuple[str, str]) -> None:
    before, after = (httpx.get(f"{base}/greeting", trust_env=False).headers for base in servers)
    assert set(before) ^ set(after) == {"server", "x-request-id"}
    body = b"x" * 1_048_577
    before_413, after_413 = (httpx.post(f"{base}/items", content=body, trust_env=False).status_code for base in servers)
    assert (before_413, after_413) == (422, 413)
