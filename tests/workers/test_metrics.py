"""What is counted in several processes, told as one."""

import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable

from processes import ServiceProcess
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from strict_client import request_bytes
from workers.conftest import each_worker, pids, samples, wait_until

Start = Callable[..., ServiceProcess]
COUNT = "http_server_request_duration_seconds_count"
SLOW = f'{COUNT}{{http_request_method="GET",http_response_status_code="200",http_route="/slow/{{seconds}}"}}'
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def serve(service: ServiceProcess, each: int) -> None:
    """Has each worker serve so many requests."""
    with each_worker(service) as connections:
        for connection in connections.values():
            for _ in range(each):
                assert connection.request("/slow/0").status == 200


def test_counts_of_all_workers_are_one_sum(service: ServiceProcess) -> None:
    serve(service, 5)
    told = samples(service)
    assert told[SLOW] == 10
    assert told[f'{SLOW.replace("_count", "_bucket")[:-1]},le="+Inf"}}'] == 10
    assert [value for name, value in told.items() if name.startswith("lmservice_build_info{")] == [1]
    assert told['lmservice_state{state="ready"}'] == 1
    assert told['lmservice_workers{state="ready"}'] == 2
    assert len([name for name in told if name.startswith("process_cpu_seconds_total")]) == 1


def test_gauges_are_summed_unless_they_say_otherwise(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        for number, connection in connections.items():
            assert connection.request(f"/jobs/{number * 10}").status == 200
    told = samples(service)
    assert (told["jobs"], told["highest"]) == (30, 20)


def test_requests_in_flight_are_those_of_all_workers(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        for connection in connections.values():
            connection.send(request_bytes("/slow/10"))
        wait_until(lambda: samples(service)['http_server_active_requests{http_request_method="GET"}'] == 2, within=8)


def test_a_worker_killed_takes_none_of_the_counters_back_and_its_successor_adds_to_them(
    service: ServiceProcess,
) -> None:
    serve(service, 5)
    before = samples(service)
    os.kill(pids(service)[1], signal.SIGKILL)
    for _ in range(5):
        during = samples(service)
        for name, value in before.items():
            if name.partition("{")[0].endswith(("_total", "_count", "_bucket", "_sum")):
                assert during[name] >= value, name
    service.event("lmservice.worker_replaced")
    wait_until(lambda: samples(service)['lmservice_workers{state="ready"}'] == 2)
    serve(service, 5)
    assert samples(service)[SLOW] == 20


def test_what_was_counted_a_moment_before_a_kill_is_kept_without_anybody_asking(service: ServiceProcess) -> None:
    """The workers tell by themselves, every second."""
    serve(service, 5)
    with each_worker(service) as connections:
        connections[1].request("/slow/2")
    os.kill(pids(service)[1], signal.SIGKILL)
    service.event("lmservice.worker_died")
    assert samples(service)[SLOW] >= 10


def test_open_metrics_of_workers_keep_their_exemplars(service: ServiceProcess) -> None:
    serve(service, 1)
    request = urllib.request.Request(service.management_url + "/metrics", headers={"accept": OPEN_METRICS})
    with urllib.request.urlopen(request, timeout=20) as response:
        text = response.read().decode()
    families = {family.name: family for family in open_families(text)}  # type: ignore[no-untyped-call]
    buckets = families["http_server_request_duration_seconds"].samples
    assert any(sample.exemplar and "trace_id" in sample.exemplar.labels for sample in buckets)


def test_graphite_is_pushed_the_sums_once(start_workers: Start) -> None:
    received: list[bytes] = []

    def collect(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as sent:
                received.append(sent.read())

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=collect, args=(server,), daemon=True).start()
        url = f"graphite://127.0.0.1:{server.getsockname()[1]}"
        service = start_workers(LM_GRAPHITE_URL=url, LM_GRAPHITE_INTERVAL="3600").wait_ready()
        serve(service, 5)
        service.stop()
        assert service.wait() == 0
        wait_until(lambda: received, within=5)
        server.shutdown(socket.SHUT_RDWR)
    lines = b"".join(received).decode().splitlines()
    counts = [line.split()[1] for line in lines if line.startswith(COUNT) and "_slow_" in line]
    assert counts == ["10.0"]
