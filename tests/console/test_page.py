"""The console in a real browser: what it shows, in both themes and widths, to the keyboard and to a screen reader."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from management.conftest import refused
from processes import ServiceProcess, free_port

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: ./dev brings it")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: ./dev brings it")
pytestmark = chromium.MARKS
PATIENCE = 30_000
"""How long the page may take to show something, in milliseconds: long, as the machine is shared."""
PROGRAM = """
import asyncio
from starlette.responses import JSONResponse
from starlette.routing import Route
from lmservice import Service, Settings

class Known(Settings):
    supplier_token: str = ""

async def hello(request):
    return JSONResponse({})

async def slow(request):
    await asyncio.sleep(float(request.path_params["seconds"]))
    return JSONResponse({})

async def broken(request):
    raise LookupError("no such airport")

routes = [Route("/hello", hello), Route("/slow/{seconds}", slow), Route("/broken", broken)]
service = Service("flights", routes=routes, settings=Known)

@service.startup_job
async def database(state):
    await asyncio.sleep(0.05)

@service.startup_job(after=["database"])
async def timetable(state):
    await asyncio.sleep(0.05)

@service.health_check(interval=0.2)
async def supplier():
    raise ConnectionError("supplier.intra")

@service.periodic_job(every=1000)
async def refresh(): ...
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.launched(playwright) as opened:
        yield opened


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the console of a service in a window of its own; whatever the page reports as an error fails the test."""
    contexts, errors = [], []

    def opened(service: ServiceProcess, *, width: int = 1440, theme: str = "light", state: str = "ready") -> Any:
        context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(service.management_url)
        page.wait_for_selector(f"html[data-link=live][data-state={state}]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def flights(start_process: Any) -> ServiceProcess:
    process: ServiceProcess = start_process(PROGRAM, settings={"LM_SUPPLIER_TOKEN": "hunter2hunter2"})
    return process.wait_ready()


def get(service: ServiceProcess, path: str) -> None:
    with urllib.request.urlopen(service.url + path, timeout=60) as answer:
        answer.read()


def wait(page: Any, selector: str, text: str) -> None:
    """Returns once the element contains the text."""
    page.wait_for_function("([s, t]) => document.querySelector(s)?.innerText.includes(t)", arg=[selector, text])


def test_it_shows_what_a_service_is_at(flights: ServiceProcess, visit: Any) -> None:
    page = visit(flights)
    for _ in range(5):
        get(flights, "/hello")
    wait(page, "#routes", "/hello")
    wait(page, "#slowest", "/hello")
    wait(page, "#startup", "Critical path: database → timetable")
    wait(page, "#checks", "ConnectionError: supplier.intra")
    wait(page, "#checks", "down")
    wait(page, "#periodic", "refresh")
    wait(page, "#settings", "LM_SUPPLIER_TOKEN")
    assert "hunter2" not in page.content()
    assert page.title() == "ready · flights"
    page.click("#read-tasks")
    wait(page, "#tasks", "health check supplier")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_lists_the_last_errors_with_the_line_that_raised(start_process: Any, visit: Any, workers: str) -> None:
    service = start_process(PROGRAM, settings={"LM_WORKERS": workers}).wait_ready()
    with pytest.raises(urllib.error.HTTPError):
        get(service, "/broken")
    page = visit(service)
    for text in ("/broken", "LookupError: no such airport", "program.py:"):
        wait(page, "#errors", text)


def test_it_shows_several_workers_as_one_and_which_of_them_a_request_is_with(start_process: Any, visit: Any) -> None:
    service = start_process(PROGRAM, settings={"LM_WORKERS": "2"}).wait_ready()
    page = visit(service)
    wait(page, "#which", "2 workers")
    wait(page, "#workers-note", "2 of 2 ready")
    for worker in json.loads(urllib.request.urlopen(f"{service.management_url}/readyz", timeout=60).read())["workers"]:
        wait(page, "#workers", str(worker["pid"]))
    wait(page, "#startup", "Critical path: database → timetable")
    wait(page, "#checks", "down")
    asking = service_request(service, "/slow/6")
    page.wait_for_function("() => /slow.6 worker [12]/.test(document.querySelector('#waiting').innerText)")
    page.click("#read-tasks")
    wait(page, "#tasks", "worker 1")
    wait(page, "#tasks", "worker 2")
    wait(page, "#tasks", "supervisor")
    asking.join(60)
    wait(page, "#slowest", "/slow/6 worker")
    os.kill(worker["pid"], signal.SIGKILL)
    page.wait_for_function("() => /died 1x, SIGKILL, \\d+ s ago/.test(document.querySelector('#workers').innerText)")


@pytest.mark.parametrize("allow", ["127.0.0.0/8", "10.9.9.9/32"])
def test_a_start_that_fails_says_why_before_anything_else(
    start_process: Any, visit: Any, tmp_path: Path, allow: str
) -> None:
    said = "db.intra refused" if allow == "127.0.0.0/8" else "told to peers in LM_MANAGEMENT_ALLOW"
    settings = {"LM_MANAGEMENT_ALLOW": json.dumps([allow]), "LM_MANAGEMENT_HOST": "127.0.0.1"}
    page = visit(start_process(refused(3), settings=settings), state="starting")
    wait(page, "#failure", "database attempt 3 of 3")
    wait(page, "#failure", said)
    (tmp_path / "gate").touch()
    wait(page, "#failure", "The start failed, exit code 3")
    wait(page, "#failure", said)
    assert ("db.intra" in page.content()) is (allow == "127.0.0.0/8")
    assert page.locator("main > section:visible").first.get_attribute("id") == "failure"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_fits_its_window_and_axe_finds_nothing(flights: ServiceProcess, visit: Any, width: int, theme: str) -> None:
    page = visit(flights, width=width, theme=theme)
    get(flights, "/hello")
    wait(page, "#routes", "/hello")
    wait(page, "#settings", "LM_SUPPLIER_TOKEN")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found] == []


def test_a_level_is_changed_and_reverted_by_the_keyboard_alone(flights: ServiceProcess, visit: Any) -> None:
    page = visit(flights)
    page.focus("#logger")
    page.keyboard.press("Control+a")
    page.keyboard.type("lmservice.health")
    page.keyboard.press("Enter")
    wait(page, "#change-said", "lmservice.health is at DEBUG for 10 min")
    wait(page, "#loggers", "lmservice.health")
    assert "reverts_in" in flights.manage("/loggers")[1]["loggers"]["lmservice.health"]
    page.focus("[data-revert]")
    page.keyboard.press("Enter")
    wait(page, "#change-said", "is back")
    page.wait_for_function("() => !document.querySelector('[data-revert]')")
    page.focus("#main")
    page.keyboard.press("p")
    assert page.get_attribute("#pause", "aria-pressed") == "true"


def test_who_may_not_look_inside_can_change_nothing_and_sees_no_settings(start_process: Any, visit: Any) -> None:
    service = start_process(PROGRAM, settings={"LM_MANAGEMENT_ALLOW": '["10.9.9.9/32"]'}).wait_ready()
    page = visit(service)
    get(service, "/hello")
    wait(page, "#slowest", "/hello")
    wait(page, "#settings", "LM_MANAGEMENT_ALLOW")
    assert "LM_PORT" not in page.inner_text("#settings")
    assert page.is_disabled("#change button")
    assert page.is_disabled("#logger")
    assert page.is_disabled("#read-tasks")
    assert not [event for event in service.logs if event["event"] == "lmservice.management_refused"]


def test_it_tells_what_holds_up_a_stop_says_that_it_ended_and_goes_on_after_a_restart(
    start_process: Any, visit: Any
) -> None:
    settings = {"LM_MANAGEMENT_PORT": str(free_port()), "LM_DRAIN_TIMEOUT": "30"}
    service = start_process(PROGRAM, settings=settings).wait_ready()
    page = visit(service)
    asking = service_request(service, "/slow/6")
    wait(page, "#waiting", "/slow/6")
    service.signal(signal.SIGTERM)
    wait(page, "#drain", "Held up by 1 request")
    wait(page, "#drain", "/slow/6")
    wait(page, "#state", "draining")
    asking.join(60)
    wait(page, "#banner", "The service has stopped: exit code 0")
    assert service.wait() == 0
    again = start_process(PROGRAM, settings=settings).wait_ready()
    page.wait_for_selector("html[data-link=live][data-state=ready]")
    assert page.is_hidden("#banner")
    assert again.running


def service_request(service: ServiceProcess, path: str) -> Any:
    """Asks from a thread."""
    asking = threading.Thread(target=get, args=(service, path), daemon=True)
    asking.start()
    return asking


def test_a_page_that_loses_its_service_says_so(flights: ServiceProcess, visit: Any) -> None:
    page = visit(flights)
    flights.signal(signal.SIGKILL)
    page.wait_for_selector("html[data-link=lost]")
    wait(page, "#banner", "The connection is lost")


def test_it_comes_as_html_to_a_browser_alone_and_may_load_nothing_from_elsewhere(flights: ServiceProcess) -> None:
    request = urllib.request.Request(flights.management_url, headers={"Accept": "text/html,*/*"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        body = answer.read().decode()
    assert "http://" not in body
    assert "https://" not in body
    assert "flights" in flights.manage("/")[1]
    assert json.dumps(flights.manage("/console.css")[1]).count("url(") == 0
    assert flights.manage("/console.py")[0] == 404
