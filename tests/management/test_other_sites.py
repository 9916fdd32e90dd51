"""Pages of other sites in a real browser: by no name of this machine may they stop a service or change it."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import chromium
import pytest

if TYPE_CHECKING:
    from processes import ServiceProcess

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: ./dev brings it")
pytestmark = chromium.MARKS
ATTACK = """
async ([target, policy]) => {
  const wait = (element, place) => new Promise((done) => {
    for (const event of ["load", "error"]) element.addEventListener(event, () => done(event));
    setTimeout(() => done("timeout"), 4000);
    place.append(element);
  });
  const asked = (path, options) => Promise.race([
    fetch(target + path, { mode: "no-cors", referrerPolicy: policy, ...options }).then(() => "sent", () => "refused"),
    new Promise((done) => setTimeout(() => done("timeout"), 4000)),
  ]);
  const image = document.createElement("img");
  image.referrerPolicy = policy;
  image.src = target + "/stop?image";
  const frame = document.createElement("iframe");
  frame.referrerPolicy = policy;
  frame.src = target + "/stop?frame";
  const script = document.createElement("script");
  script.referrerPolicy = policy;
  script.src = target + "/profile?seconds=0.2&script";
  const sink = document.createElement("iframe");
  sink.name = "sink";
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: target + "/stop?form", target: "sink", enctype: "text/plain" });
  await Promise.all([
    wait(image, document.body), wait(frame, document.body), wait(script, document.body),
    asked("/stop?fetch", {}), asked("/stop?post", { method: "POST", body: "x" }),
    asked("/loggers/root", { method: "PUT", mode: "cors", body: '{"level": "DEBUG"}' }),
  ]);
  document.body.append(form);
  document.body.append(sink);
  form.submit();
  await new Promise((done) => setTimeout(done, 500));
}
"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of another site on this machine."""
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # the guard under test, rather than Chromium's own one, which asks people and may be answered
    unguarded = "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"
    with chromium.launched(playwright, [unguarded]) as opened:
        yield opened


def outer_addresses() -> list[str]:
    """The addresses that this machine has beside loopback; none where it has no network."""
    found = []
    for family, peer in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.connect((peer, 9))  # sends nothing
            host = probe.getsockname()[0]
            found.append(f"[{host}]" if ":" in host else host)
    return found


def own_names() -> list[str]:
    """The names that this machine has for itself, as URLs have them."""
    loopback = ["localhost", "127.0.0.1", "127.0.0.2", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"]
    return [*loopback, socket.gethostname(), *outer_addresses()]


@pytest.mark.parametrize("policy", ["no-referrer", "unsafe-url"])
def test_a_page_of_another_origin_stops_and_changes_nothing_by_any_name_of_this_machine(
    start_process: Any, browser: Any, elsewhere: int, policy: str
) -> None:
    settings = {"LM_MANAGEMENT_HOST": "::", "LM_MANAGEMENT_ALLOW": "0.0.0.0/0,::/0", "LM_DRAIN_DELAY": "0"}
    program = "from lmservice import Service\nservice = Service('flights', routes=[])\n"
    service: ServiceProcess = start_process(program, settings=settings).wait_ready()
    port = service.management_url.rpartition(":")[2]
    page = browser.new_page()
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    for name in own_names():
        page.goto(f"http://127.0.0.1:{elsewhere}/")
        page.evaluate(ATTACK, [f"http://{name}:{port}", policy])
    assert len([url for url in asked if f":{port}/stop?" in url]) >= 2 * len(own_names())  # it did try
    assert service.manage("/readyz")[0] == 200
    loggers = service.manage("/loggers")[1]["loggers"]
    assert [name for name, each in loggers.items() if each.get("reverts_in") is not None] == []
    refusals = [line for line in service.output if "management_refused" in line and '"/stop"' in line]
    assert len(refusals) >= len(own_names())
    page.close()


def test_the_console_changes_levels_at_a_bare_address(start_process: Any, browser: Any) -> None:
    addresses = outer_addresses()
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    settings = {"LM_MANAGEMENT_HOST": "::", "LM_MANAGEMENT_ALLOW": "0.0.0.0/0,::/0"}
    program = "from lmservice import Service\nservice = Service('flights', routes=[])\n"
    service: ServiceProcess = start_process(program, settings=settings).wait_ready()
    page = browser.new_page()
    page.goto(f"http://{addresses[0]}:{service.management_url.rpartition(':')[2]}/")
    page.wait_for_selector("html[data-link=live][data-state=ready]")
    page.fill("#logger", "lmservice.health")
    page.press("#logger", "Enter")
    page.wait_for_function("() => document.querySelector('#change-said').innerText.includes('is at DEBUG')")
    assert "reverts_in" in service.manage("/loggers")[1]["loggers"]["lmservice.health"]
    page.close()
