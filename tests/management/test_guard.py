"""Who may do what on the management listener."""

from typing import Any

import pytest
from strict_client import AsyncConnection, Response

pytestmark = pytest.mark.anyio
OPEN = ["/livez", "/startupz", "/readyz", "/metrics"]
TOLD = [("GET", "/"), ("GET", "/info"), ("GET", "/loggers"), ("GET", "/nothing")]
RESTRICTED = [("GET", "/config"), ("GET", "/tasks"), ("PUT", "/loggers/root"), ("GET", "/stop"), ("POST", "/stop")]
CHANGE = b'{"level": "DEBUG", "duration": 1}'
ELSEWHERE = [
    "Host: evil.example",
    "Host: evil.example:{port}",
    "Host: localhost.evil.example",
    "Host: 127.0.0.1.evil.example",
    "Host: localhost@evil.example",
    "Host: evil.example#localhost",
    "Host: [::1",
    "Host: 0.0.0.0:{port}",
    "Host: [::]:{port}",
    "Host: [::ffff:0.0.0.0]",
    "Host: ",
    "Host: localhost\r\nHost: evil.example",
    "Host: evil.example\r\nHost: localhost",
    "Host: localhost\r\nHost: localhost",
    "Host: localhost:{port}\r\nOrigin: http://evil.example",
    "Host: localhost:{port}\r\nOrigin: null",
    "Host: localhost:{port}\r\nOrigin: http://localhost:1",
    "Host: localhost:{port}\r\nOrigin: http://localhost",
    "Host: localhost:{port}\r\nOrigin: http://127.0.0.1:{port}",
    "Host: localhost:{port}\r\nOrigin: http://localhost:{port}.evil.example",
    "Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nOrigin: http://evil.example",
    "Host: localhost:{port}\r\nOrigin: localhost:{port}",
    "Host: localhost:{port}\r\nSec-Fetch-Site: cross-site",
    "Host: localhost:{port}\r\nSec-Fetch-Site: same-site",
    "Host: localhost:{port}\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
    "Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nSec-Fetch-Site: cross-site",
]
HERE = [
    "Host: localhost",
    "Host: LOCALHOST:{port}",
    "Host: 127.0.0.1:{port}",
    "Host: 10.1.2.3",
    "Host: [::1]:{port}",
    "Host: [fd00::1]",
    "Host: localhost:{port}\r\nOrigin: http://localhost:{port}",
    "Host: localhost:{port}\r\nSec-Fetch-Site: same-origin",
    "Host: localhost:{port}\r\nSec-Fetch-Site: none",
    "Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nSec-Fetch-Site: same-origin",
]


ACTING = [("PUT", "/loggers/root"), ("GET", "/profile?seconds=0.1"), ("GET", "/stop"), ("POST", "/stop")]
BROWSERS = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    "Accept-Language: de",
    "Referer: http://evil.example/page",
    "Referer: http://192.0.2.7/",
    "Referer:",
    "Referer: http://192.0.2.7:{port}@evil.example/",
    "Sec-Fetch-Mode: no-cors",
    "Sec-Fetch-Dest: image",
    "User-Agent: Mozilla/5.0\r\nReferer: https://192.0.2.7:{port}/",
]
PROOFS = [
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate",
    "Origin: http://192.0.2.7:{port}",
    "Referer: http://192.0.2.7:{port}/",
    "User-Agent: Mozilla/5.0\r\nOrigin: http://192.0.2.7:{port}\r\nReferer: http://192.0.2.7:{port}/",
]


async def ask(served: Any, method: str, path: str, headers: str = "Host: localhost") -> Response:
    """One request with exactly these headers, on a connection of its own."""
    port = served.management.base_url.port
    body = CHANGE if method == "PUT" else b""
    head = f"{method} {path} HTTP/1.1\r\n{headers.replace('{port}', str(port))}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = await AsyncConnection.open(port)
    try:
        return await connection.request(head.encode() + body)
    finally:
        connection.close()


async def still_ready(served: Any) -> bool:
    """Whether it serves, and every logger has the level that it had."""
    loggers = (await served.management.get("/loggers")).json()["loggers"]
    changed = [name for name, each in loggers.items() if each.get("reverts_in") is not None]
    return changed == [] and (await served.management.get("/readyz")).status_code == 200


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_a_page_from_elsewhere_gets_403_everywhere_but_from_probes_and_metrics(shared: Any, headers: str) -> None:
    answers = {
        f"{method} {path}": (await ask(shared, method, path, headers)).status for method, path in TOLD + RESTRICTED
    }
    assert {what: status for what, status in answers.items() if status not in {400, 403}} == {}
    assert await still_ready(shared)


@pytest.mark.parametrize("headers", [each for each in ELSEWHERE if each.count("Host:") == 1])
async def test_probes_and_metrics_answer_whoever_asks(shared: Any, headers: str) -> None:
    for path in OPEN:
        assert (await ask(shared, "GET", path, headers)).status == 200


@pytest.mark.parametrize("headers", [*HERE, "Host: flights.internal:{port}", "Host: Flights.Internal"])
async def test_an_address_localhost_and_the_hosts_that_are_named_get_answers(shared: Any, headers: str) -> None:
    for path in ("/", "/info", "/loggers", "/config", "/tasks"):
        assert (await ask(shared, "GET", path, headers)).status == 200


@pytest.mark.parametrize("headers", BROWSERS)
async def test_a_browser_without_proof_of_its_page_may_look_but_not_act(shared: Any, headers: str) -> None:
    bare = "Host: 192.0.2.7:{port}\r\n" + headers
    answers = {f"{method} {path}": (await ask(shared, method, path, bare)).status for method, path in ACTING}
    assert answers == {f"{method} {path}": 403 for method, path in ACTING}
    for path in ("/", "/info", "/config", "/tasks", "/loggers"):
        assert (await ask(shared, "GET", path, bare)).status == 200
    assert await still_ready(shared)


@pytest.mark.parametrize("headers", [*PROOFS, "User-Agent: curl/8.14.1", "User-Agent: Wget/1.25 (not Mozilla/)"])
async def test_what_is_proven_or_no_browser_may_act(flights: Any, headers: str) -> None:
    served = await flights()
    bare = "Host: 192.0.2.7:{port}\r\n" + headers
    assert (await ask(served, "PUT", "/loggers/root", bare)).status == 200
    assert (await ask(served, "GET", "/profile?seconds=0.1", bare)).status == 200
    assert (await ask(served, "POST", "/stop", bare)).status == 200


async def test_a_path_smuggled_into_the_host_is_not_obeyed(shared: Any) -> None:
    for host in ("localhost/stop?", "localhost/stop#", "127.0.0.1/stop?x="):
        assert (await ask(shared, "GET", "/livez", f"Host: {host}")).status in {200, 400, 403}
        assert (await ask(shared, "POST", "/info", f"Host: {host}")).status in {400, 403, 405}
    for host in ("evil.example/livez?", "evil.example/metrics#"):
        assert (await ask(shared, "GET", "/config", f"Host: {host}")).status in {400, 403}
    assert await still_ready(shared)


@pytest.mark.parametrize("allow", [("10.0.0.0/8",), ("::1/128",), ()], ids=["other", "other-family", "nobody"])
async def test_a_peer_that_is_not_allowed_gets_403_and_nothing_happens(flights: Any, allow: tuple[str, ...]) -> None:
    served = await flights(management_allow=allow)
    for method, path in RESTRICTED:
        refused = await ask(served, method, path)
        assert (refused.status, b"hunter" in refused.body) == (403, False)
    for method, path in TOLD[:-1]:
        assert (await ask(served, method, path)).status == 200
    for path in OPEN:
        assert (await ask(served, "GET", path)).status == 200
    assert await still_ready(served)


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For: 10.1.2.3",
        "X-Forwarded-For: 10.1.2.3, 127.0.0.1",
        "X-Real-IP: 10.1.2.3",
        "Forwarded: for=10.1.2.3",
        "X-Client-IP: 10.1.2.3",
        "X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: localhost",
    ],
)
async def test_no_header_grants_what_the_peers_address_does_not(flights: Any, header: str) -> None:
    served = await flights(management_allow=("10.0.0.0/8",))
    for method, path in RESTRICTED:
        assert (await ask(served, method, path, f"Host: localhost\r\n{header}")).status == 403
    assert await still_ready(served)


async def test_no_header_takes_away_what_the_peers_address_grants(shared: Any) -> None:
    assert (await ask(shared, "GET", "/config", "Host: localhost\r\nX-Forwarded-For: 203.0.113.9")).status == 200


async def test_an_ipv4_peer_of_the_dual_stack_listener_counts_as_ipv4(flights: Any) -> None:
    allowed = await flights(management_host="::", management_allow=("127.0.0.0/8",))
    assert (await ask(allowed, "GET", "/config")).status == 200
    refused = await flights(management_host="::", management_allow=("::1/128",))
    assert (await ask(refused, "GET", "/config")).status == 403


async def test_networks_that_are_allowed_may_be_spelt_as_mapped(flights: Any) -> None:
    served = await flights(management_host="::", management_allow=("::/0", "0.0.0.0/0"))
    assert (await ask(served, "GET", "/config")).status == 200


async def test_a_refusal_is_a_problem_that_is_logged_with_peer_path_and_reason(flights: Any, logged: Any) -> None:
    served = await flights()
    refused = await ask(served, "POST", "/stop", "Host: evil.example")
    assert refused.headers["content-type"] == "application/problem+json"
    (event,) = logged("lmservice.management_refused")
    assert (event["path"], event["peer"]) == ("/stop", "127.0.0.1")
    assert event["reason"]
